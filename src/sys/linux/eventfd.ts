import type { Fd } from "../../abi/fd.ts";
import { EFD_CLOEXEC, EFD_NONBLOCK } from "../../abi/linux.x64.generated.ts";
import { NativeFunction } from "../native-function.ts";
import { OwnedFd, read, write } from "./file.ts";
import { checked, consumeErrno } from "./system-error.ts";

const nativeEventfd = new NativeFunction<[number, number], number>(
  "int eventfd(unsigned int initial, int flags)",
);

/** A counter in the kernel that one side adds to and the other waits for. */
export class EventFd implements Disposable {
  readonly #owned: OwnedFd;
  readonly #one: Uint8Array = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);
  readonly #count: Uint8Array = new Uint8Array(8);

  /** Non-blocking and close-on-exec. Throws `NATIVE_CALL_FAILED`. */
  constructor() {
    const flags = EFD_CLOEXEC | EFD_NONBLOCK;
    this.#owned = new OwnedFd(checked(consumeErrno(nativeEventfd.call(0, flags)), "eventfd"));
  }

  get fd(): Fd {
    return this.#owned.fd;
  }

  /** Adds one. A counter that is full (2^64 - 2) stays signalled, so EAGAIN is no failure. */
  signal(): void {
    write(this.#owned.fd, this.#one);
  }

  /** Sets it back to zero; whether it was signalled. */
  take(): boolean {
    return read(this.#owned.fd, this.#count) === 8;
  }

  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }
}
