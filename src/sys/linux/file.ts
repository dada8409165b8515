import { type Fd, fd } from "../../abi/fd.ts";
import { O_CLOEXEC } from "../../abi/linux.x64.generated.ts";
import { NativeFunction } from "../native-function.ts";
import { countClosed, countOpened } from "../open-resources.ts";
import { consumeErrno, systemError } from "./system-error.ts";

const nativeOpen = new NativeFunction<[string, number, number], number>(
  "int open(const char *path, int flags, unsigned int mode)",
);
const nativeClose = new NativeFunction<[number], number>("int close(int fd)");

/** A file descriptor that is closed once, by whoever disposes of it. */
export class OwnedFd implements Disposable {
  readonly #value: Fd;
  #open = true;

  /** Safety: the caller hands over a descriptor that it just received from the kernel and that no one else closes. */
  constructor(value: number) {
    this.#value = fd(value);
    countOpened("fd");
  }

  /** The descriptor; throws once it is closed, because the number may by then name another file. */
  get fd(): Fd {
    if (!this.#open) throw new TypeError(`File descriptor ${this.#value} is closed`);
    return this.#value;
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    countClosed("fd");
    nativeClose.call(this.#value);
  }
}

/** Opens a path, always close-on-exec. Returns a negative errno when refused, for callers that look at the reason. */
export function tryOpen(path: string, flags: number): OwnedFd | number {
  const result = consumeErrno(nativeOpen.call(path, flags | O_CLOEXEC, 0o600));
  return result < 0 ? result : new OwnedFd(result);
}

/** Opens a path, always close-on-exec; a file that is created gets mode 0600. Throws `NATIVE_CALL_FAILED`. */
export function open(path: string, flags: number): OwnedFd {
  const opened = tryOpen(path, flags);
  if (typeof opened === "number") throw systemError(`open ${path}`, -opened);
  return opened;
}
