import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { systemFailure } from "../../errors/system-failure.ts";
import type { ByteSink } from "../tree.ts";

/** A new file as a `ByteSink`: what is skipped stays a hole. Writers hand over large pieces; there is no buffer here. */
export class FileSink implements ByteSink, Disposable {
  readonly #path: string;
  #fd: number | undefined;

  /** Fails when the file exists. */
  constructor(path: string) {
    this.#path = path;
    try {
      this.#fd = openSync(path, "wx", 0o644);
    } catch (error) {
      throw systemFailure(error, "Creating", path);
    }
  }

  write(position: number, bytes: Uint8Array): void {
    const fd = this.#open();
    try {
      for (let done = 0; done < bytes.length; )
        done += writeSync(fd, bytes, done, bytes.length - done, position + done);
    } catch (error) {
      throw systemFailure(error, "Writing", this.#path);
    }
  }

  /** Returns when the bytes are on the disk. */
  flush(): void {
    try {
      fsyncSync(this.#open());
    } catch (error) {
      throw systemFailure(error, "Writing", this.#path);
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #open(): number {
    if (this.#fd === undefined) throw new TypeError(`'${this.#path}' is closed`);
    return this.#fd;
  }
}
