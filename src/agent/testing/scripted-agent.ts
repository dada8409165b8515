import { encodeFrame, type Frame, FrameDecoder } from "../frames.ts";
import { encodePreamble, PreambleScanner } from "../preamble.ts";
import { type FrameType, PROTOCOL_VERSION } from "../protocol.ts";
import type { AgentTransport } from "../requests.ts";

/** An agent that says what a test tells it to, true or not. */
export class ScriptedAgent {
  readonly #transport: AgentTransport;
  #frames: Frame[] = [];
  #wake: (() => void) | undefined;

  constructor(transport: AgentTransport, version: number = PROTOCOL_VERSION) {
    this.#transport = transport;
    void this.#run(version);
  }

  /** The next frame of the host. */
  async next(): Promise<Frame> {
    for (;;) {
      const frame = this.#frames.shift();
      if (frame !== undefined) return frame;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Skips to the next frame of a type. */
  async nextOf(type: FrameType): Promise<Frame> {
    for (;;) {
      const frame = await this.next();
      if (frame.type === type) return frame;
    }
  }

  send(frame: Partial<Frame> & Pick<Frame, "stream" | "type">): void {
    void this.#transport
      .send(encodeFrame({ channel: 0, payload: new Uint8Array(0), ...frame }))
      .catch(() => {});
  }

  sendRaw(bytes: Uint8Array): void {
    void this.#transport.send(bytes).catch(() => {});
  }

  close(): void {
    this.#transport.close();
  }

  async #run(version: number): Promise<void> {
    const scanner = new PreambleScanner();
    const decoder = new FrameDecoder("host");
    let greeted = false;
    for await (const chunk of this.#transport.incoming) {
      let rest = chunk;
      if (!greeted) {
        const found = scanner.push(chunk);
        if (found === undefined) continue;
        greeted = true;
        await this.#transport.send(encodePreamble({ version, nonce: found.preamble.nonce }));
        rest = found.rest;
      }
      decoder.push(rest, (frame) => this.#frames.push(frame));
      this.#wake?.();
    }
  }
}
