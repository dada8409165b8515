import type { Duplex } from "node:stream";
import type { AgentTransport } from "../requests.ts";

/**
 * A Node stream (socket, pipe pair) as an agent transport. Backpressure holds in both directions: nothing is read
 * ahead of the protocol, and `send` resolves when the stream wants more.
 */
export function duplexTransport(stream: Duplex): AgentTransport {
  let failure: Error | undefined;
  let wake: (() => void)[] = [];
  const release = (): void => {
    const waiting = wake;
    wake = [];
    for (const resume of waiting) resume();
  };
  // The reader learns of errors through the iteration; this keeps an error between reads from being uncaught.
  stream.on("error", (error) => {
    failure ??= error;
    release();
  });
  stream.on("close", () => {
    failure ??= new Error("The stream was closed");
    release();
  });
  stream.on("drain", release);
  return {
    incoming: stream,
    async send(bytes) {
      if (failure !== undefined) throw failure;
      if (stream.write(bytes)) return;
      await new Promise<void>((resolve) => wake.push(resolve));
      if (failure !== undefined) throw failure;
    },
    close() {
      stream.destroy();
    },
  };
}
