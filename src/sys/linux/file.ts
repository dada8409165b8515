import { type Fd, fd } from "../../abi/fd.ts";
import { MFD_CLOEXEC, O_CLOEXEC, POSIX_FADV_DONTNEED } from "../../abi/linux.x64.generated.ts";
import { NativeFunction } from "../native-function.ts";
import { countClosed, countOpened } from "../open-resources.ts";
import { checked, systemError } from "./system-error.ts";
import { uninterrupted } from "./uninterrupted.ts";

const nativeOpen = new NativeFunction<[string, number, number], number>(
  "int open(const char *path, int flags, unsigned int mode)",
);
const nativeClose = new NativeFunction<[number], number>("int close(int fd)");

const nativeRead = new NativeFunction<[number, Uint8Array, number], number>(
  "intptr_t read(int fd, void *bytes, size_t length)",
);
const nativeWrite = new NativeFunction<[number, Uint8Array, number], number>(
  "intptr_t write(int fd, void *bytes, size_t length)",
);
const nativePread = new NativeFunction<[number, Uint8Array, number, number], number>(
  "intptr_t pread(int fd, void *bytes, size_t length, int64_t offset)",
);
const nativePwrite = new NativeFunction<[number, Uint8Array, number, number], number>(
  "intptr_t pwrite(int fd, void *bytes, size_t length, int64_t offset)",
);
const nativeFtruncate = new NativeFunction<[number, number], number>("int ftruncate(int fd, int64_t length)");
const nativeFadvise = new NativeFunction<[number, number, number, number], number>(
  "int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)",
);
const nativeMemfd = new NativeFunction<[string, number], number>(
  "int memfd_create(const char *name, unsigned int flags)",
);

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
  const result = uninterrupted(() => nativeOpen.call(path, flags | O_CLOEXEC, 0o600));
  return result < 0 ? result : new OwnedFd(result);
}

/** Opens a path, always close-on-exec; a file that is created gets mode 0600. Throws `NATIVE_CALL_FAILED`. */
export function open(path: string, flags: number): OwnedFd {
  const opened = tryOpen(path, flags);
  if (typeof opened === "number") throw systemError(`open ${path}`, -opened);
  return opened;
}

/** A file without a name, in memory; grown with `truncate`, shared by passing its descriptor on. */
export function createMemfd(name: string): OwnedFd {
  return new OwnedFd(
    checked(
      uninterrupted(() => nativeMemfd.call(name, MFD_CLOEXEC)),
      "memfd_create",
    ),
  );
}

/** Sets a file's length; throws `NATIVE_CALL_FAILED`. */
export function truncate(fd: Fd, length: number): void {
  checked(
    uninterrupted(() => nativeFtruncate.call(fd, length)),
    `ftruncate to ${length}`,
  );
}

/** Drops what the system's cache holds of a file, as far as it is on the disk. A hint: nothing tells whether it was followed. */
export function dropCached(fd: Fd): void {
  nativeFadvise.call(fd, 0, 0, POSIX_FADV_DONTNEED);
}

// Reads and writes return how many bytes were moved, or a negative errno. The buffer may be guest memory: the guest
// changing it meanwhile changes what is transferred, nothing else.

export function read(fd: Fd, into: Uint8Array): number {
  return uninterrupted(() => nativeRead.call(fd, into, into.length));
}

export function write(fd: Fd, bytes: Uint8Array): number {
  return uninterrupted(() => nativeWrite.call(fd, bytes, bytes.length));
}

/** Reads at an offset, leaving the file position alone. */
export function readAt(fd: Fd, offset: number, into: Uint8Array): number {
  return uninterrupted(() => nativePread.call(fd, into, into.length, offset));
}

/** Writes at an offset, leaving the file position alone. */
export function writeAt(fd: Fd, offset: number, bytes: Uint8Array): number {
  return uninterrupted(() => nativePwrite.call(fd, bytes, bytes.length, offset));
}
