import type { Socket } from "node:net";
import { SupermachineError } from "../../errors/supermachine-error.ts";

export interface ReadLineOptions {
  /** More than this without a line's end is refused. */
  readonly maxBytes: number;
  /** Default: no limit. */
  readonly timeoutMs?: number;
}

/**
 * Reads one line, without its end, and leaves what follows it in the socket.
 *
 * @throws SupermachineError `MACHINE_EXITED` when there is none, or none that ends in time and within `maxBytes`.
 */
export function readLine(socket: Socket, { maxBytes, timeoutMs }: ReadLineOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    let pending = Buffer.alloc(0);
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => fail("sends no line"), timeoutMs);
    const settle = () => {
      clearTimeout(timer);
      socket.off("readable", onReadable).off("end", onEnd).off("close", onEnd).off("error", onEnd);
    };
    const fail = (what: string) => {
      settle();
      reject(new SupermachineError("MACHINE_EXITED", `The other end of the socket ${what}`));
    };
    const onEnd = () => fail("has gone");
    const onReadable = () => {
      for (
        let chunk = socket.read() as Buffer | null;
        chunk !== null;
        chunk = socket.read() as Buffer | null
      ) {
        pending = Buffer.concat([pending, chunk]);
        const end = pending.indexOf(10);
        if (end < 0 ? pending.length > maxBytes : end > maxBytes) return fail("sends a line without end");
        if (end < 0) continue;
        settle();
        if (end + 1 < pending.length) socket.unshift(pending.subarray(end + 1));
        return resolve(pending.toString("utf8", 0, end));
      }
    };
    socket.on("readable", onReadable).on("end", onEnd).on("close", onEnd).on("error", onEnd);
    onReadable();
  });
}
