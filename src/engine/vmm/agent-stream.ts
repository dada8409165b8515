import { Duplex } from "node:stream";
import type { Connection } from "../../devices/vsock/connection.ts";

/** A vsock connection as a Node stream; its back-pressure is the connection's credit. */
export function agentStream(connection: Connection): Duplex {
  const incoming = connection.incoming[Symbol.asyncIterator]();
  return new Duplex({
    read() {
      incoming.next().then(
        ({ done, value }) => this.push(done === true ? null : value),
        (error: Error) => this.destroy(error),
      );
    },
    write(chunk: Uint8Array, _encoding, done) {
      connection.write(chunk).then(() => done(), done);
    },
    final(done) {
      connection.end();
      done();
    },
    destroy(error, done) {
      connection.cancel();
      done(error);
    },
  });
}
