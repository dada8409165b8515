import type { AgentTransport } from "../requests.ts";

/** Two transports, each receiving what the other sends, in order; `cut` splits what is delivered. */
export function transportPair(
  cut: (bytes: Uint8Array) => Uint8Array[] = (bytes) => [bytes],
): [AgentTransport, AgentTransport] {
  const a = new Pipe();
  const b = new Pipe();
  const end = (incoming: Pipe, outgoing: Pipe): AgentTransport => ({
    incoming,
    async send(bytes) {
      if (outgoing.ended) throw new Error("The pipe is closed");
      for (const piece of cut(bytes)) outgoing.push(piece);
    },
    close() {
      incoming.end();
      outgoing.end();
    },
  });
  return [end(a, b), end(b, a)];
}

class Pipe implements AsyncIterable<Uint8Array> {
  #pieces: Uint8Array[] = [];
  #wake: (() => void) | undefined;
  ended = false;

  push(piece: Uint8Array): void {
    this.#pieces.push(piece);
    this.#wake?.();
  }

  end(): void {
    this.ended = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece !== undefined) yield piece;
      else if (this.ended) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}
