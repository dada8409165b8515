import type { Fd } from "../../abi/fd.ts";
import { Pollfd } from "../../abi/linux.x64.generated.ts";
import { NativeFunction } from "../native-function.ts";
import { checked, consumeErrno, EINTR } from "./system-error.ts";

const nativePoll = new NativeFunction<[Uint8Array, number, number], number>(
  "int poll(void *fds, unsigned long count, int timeout)",
);

/**
 * A set of descriptors to wait for, kept between waits. Blocks the calling thread, so it belongs on a thread whose
 * work it is.
 */
export class PollSet {
  readonly #fds: readonly Fd[];
  readonly #bytes: Uint8Array;
  readonly #entry: Pollfd;

  /** `events`: POLL bits wanted of every descriptor. */
  constructor(fds: readonly Fd[], events: number) {
    this.#fds = [...fds];
    this.#bytes = new Uint8Array(fds.length * Pollfd.size);
    this.#entry = new Pollfd(new DataView(this.#bytes.buffer));
    for (const [index, fd] of this.#fds.entries()) {
      const entry = this.#entry.at(index * Pollfd.size);
      entry.fd = fd;
      entry.events = events;
    }
  }

  /** Waits at most `timeoutMs` (-1: for ever); the positions of those that are ready, none after a signal. */
  wait(timeoutMs: number): number[] {
    const result = consumeErrno(nativePoll.call(this.#bytes, this.#fds.length, timeoutMs));
    if (result === -EINTR || result === 0) return [];
    checked(result, "poll");
    const ready = this.#fds.map((_, index) => this.#entry.at(index * Pollfd.size).revents !== 0);
    return [...ready.keys()].filter((index) => ready[index]);
  }
}
