import type { Fd } from "../../abi/fd.ts";
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
} from "../../abi/linux.x64.generated.ts";
import { type Hva, hva } from "../hva.ts";
import { foreignBytes, lastErrno, NativeFunction } from "../native-function.ts";
import { countClosed, countOpened } from "../open-resources.ts";
import { checked, consumeErrno, systemError } from "./system-error.ts";

const nativeMmap = new NativeFunction<
  [number | bigint, number, number, number, number, number],
  number | bigint
>("uintptr_t mmap(uintptr_t address, size_t length, int protection, int flags, int fd, int64_t offset)");
const nativeMunmap = new NativeFunction<[bigint, number], number>(
  "int munmap(uintptr_t address, size_t length)",
);
const nativeMadvise = new NativeFunction<[bigint, number, number], number>(
  "int madvise(uintptr_t address, size_t length, int advice)",
);
const nativeMprotect = new NativeFunction<[bigint, number, number], number>(
  "int mprotect(uintptr_t address, size_t length, int protection)",
);

/** MAP_FAILED as an unsigned pointer. */
const mapFailed = 0xffff_ffff_ffff_ffffn;

export interface MapOptions {
  /** PROT_ bits. */
  readonly protection: number;
  /** MAP_ bits. */
  readonly flags: number;
  /** Absent for anonymous memory. */
  readonly fd?: Fd;
  /** Bytes into the file; a multiple of the page size. */
  readonly offset?: number;
}

/** A mapping of this process, unmapped once, by whoever disposes of it. */
export class Mapping implements Disposable {
  readonly #address: Hva;
  readonly length: number;
  #mapped = true;

  private constructor(address: Hva, length: number) {
    this.#address = address;
    this.length = length;
    countOpened("mapping");
  }

  /** mmap at an address of the kernel's choice. Throws `NATIVE_CALL_FAILED`. */
  static map(length: number, options: MapOptions): Mapping {
    const { protection, flags, fd = -1, offset = 0 } = options;
    return new Mapping(mmapAt(0n, length, { protection, flags, fd, offset }), length);
  }

  /** Zeroed private memory that takes up space only as far as it is touched. */
  static anonymous(length: number): Mapping {
    return Mapping.map(length, {
      protection: PROT_READ | PROT_WRITE,
      flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
    });
  }

  get address(): Hva {
    if (!this.#mapped) throw new TypeError("The mapping is gone");
    return this.#address;
  }

  /**
   * The bytes of `[offset, offset + length)`, by default the whole, without a copy; below 4 GiB at a time on Node 20.
   *
   * Safety: they may not be touched after this mapping is disposed of.
   */
  bytes(offset: number = 0, length: number = this.length - offset): Uint8Array<ArrayBuffer> {
    const { address } = this;
    if (length === 0) return new Uint8Array(0);
    this.#checkRange(offset, length);
    return foreignBytes(address + BigInt(offset), length);
  }

  /** Hints about `[offset, offset + length)`, by default the whole; MADV_DONTNEED drops its contents. */
  advise(
    advice: number,
    { offset = 0, length = this.length }: { offset?: number; length?: number } = {},
  ): void {
    this.#checkRange(offset, length);
    checked(consumeErrno(nativeMadvise.call(this.address + BigInt(offset), length, advice)), "madvise");
  }

  /** By default of the whole. Safety: a view that is written to (or read) against the new protection ends the process. */
  protect(
    protection: number,
    { offset = 0, length = this.length }: { offset?: number; length?: number } = {},
  ): void {
    this.#checkRange(offset, length);
    checked(consumeErrno(nativeMprotect.call(this.address + BigInt(offset), length, protection)), "mprotect");
  }

  /**
   * Replaces `[at, at + length)` of this mapping by another one, in place: addresses and views stay valid and show
   * the new contents at once.
   */
  replace(at: number, length: number, options: MapOptions): void {
    this.#checkRange(at, length);
    const { protection, flags, fd = -1, offset = 0 } = options;
    mmapAt(this.address + BigInt(at), length, { protection, flags: flags | MAP_FIXED, fd, offset });
  }

  [Symbol.dispose](): void {
    if (!this.#mapped) return;
    this.#mapped = false;
    countClosed("mapping");
    nativeMunmap.call(this.#address, this.length);
  }

  #checkRange(offset: number, length: number): void {
    const inside = Number.isInteger(offset) && Number.isInteger(length) && offset >= 0 && length > 0;
    if (!inside || offset + length > this.length)
      throw new RangeError(`${length} bytes at ${offset} are not inside a mapping of ${this.length}`);
  }
}

/** Safety: with MAP_FIXED the caller owns the whole range already. */
function mmapAt(
  address: bigint,
  length: number,
  { protection, flags, fd, offset }: { protection: number; flags: number; fd: number; offset: number },
): Hva {
  const result = BigInt(nativeMmap.call(address, length, protection, flags, fd, offset));
  if (result === mapFailed) throw systemError(`mmap of ${length} bytes`, lastErrno());
  return hva(result);
}
