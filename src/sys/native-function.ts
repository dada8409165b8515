import { writeSync } from "node:fs";
import type { LibraryHandle } from "koffi";
import { type Koffi, loadKoffi } from "./load-koffi.ts";

/** What may be handed to C: integers, text, and buffers (passed by address, never copied). */
export type NativeArgument = number | bigint | string | Uint8Array;

/** With SUPERMACHINE_TRACE_CALLS=1 every native call is printed to stderr with its result and duration. */
const tracing = process.env["SUPERMACHINE_TRACE_CALLS"] === "1";
let koffi: Koffi | undefined;
let library: LibraryHandle | undefined;

/**
 * One function of the C library, looked up when it is first called, so that importing this costs nothing and does
 * not fail on a system that lacks the function.
 *
 * Safety: the prototype must be the true one. Nothing checks it, and a wrong one corrupts memory.
 */
export class NativeFunction<Args extends readonly NativeArgument[], Result extends number | bigint> {
  readonly #prototype: string;
  #bound: ((...args: Args) => Result) | undefined;
  #pooled: ReturnType<LibraryHandle["func"]> | undefined;

  constructor(prototype: string) {
    this.#prototype = prototype;
  }

  get call(): (...args: Args) => Result {
    this.#bound ??= this.#bind();
    return this.#bound;
  }

  /**
   * Calls on a thread of Node's pool, for functions that wait. `errno` is lost: it stays with that thread.
   *
   * Safety: buffers among the arguments must not be touched, and what they point at not released, until this settles.
   */
  callInPool(...args: Args): Promise<Result> {
    library ??= native().load(null);
    this.#pooled ??= library.func(this.#prototype);
    const { async: start } = this.#pooled;
    return new Promise((resolve, reject) => {
      start(...args, (error: Error | null, result: Result) =>
        error === null ? resolve(result) : reject(error),
      );
    });
  }

  #bind(): (...args: Args) => Result {
    library ??= native().load(null);
    const bound: (...args: Args) => Result = library.func(this.#prototype);
    return tracing ? traced(this.#prototype, bound) : bound;
  }
}

/** `errno` of the native call that this thread made last. Nothing else may be called in between. */
export function lastErrno(): number {
  return native().errno();
}

/**
 * Foreign memory, without a copy, in a buffer of its own.
 *
 * Safety: `[address, address + length)` must be mapped for as long as anyone touches the bytes. Their buffer cannot be
 * detached on Node 20, so bytes used after unmapping end the process.
 */
export function foreignBytes(address: bigint, length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(native().view(address, length));
}

/** Loaded at the first call: many commands make none, and loading a library takes its time. */
function native(): Koffi {
  koffi ??= loadKoffi();
  return koffi;
}

function traced<Args extends readonly NativeArgument[], Result extends number | bigint>(
  prototype: string,
  bound: (...args: Args) => Result,
): (...args: Args) => Result {
  const name = /(\w+)\(/.exec(prototype)?.[1] ?? prototype;
  return (...args) => {
    const start = process.hrtime.bigint();
    const result = bound(...args);
    const error = lastErrno();
    const micros = Number(process.hrtime.bigint() - start) / 1000;
    const shown = args.map((value) =>
      value instanceof Uint8Array ? `<${value.length} bytes>` : String(value),
    );
    // Not through a stream: those of a thread have to be read by the thread that started it.
    writeSync(2, `${name}(${shown.join(", ")}) = ${result} in ${micros.toFixed(1)} µs\n`);
    native().errno(error);
    return result;
  };
}
