import { closeSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { SupermachineError } from "../../../errors/supermachine-error.ts";
import { errnoOf, systemFailure } from "../../../errors/system-failure.ts";
import { invalidDocument, type Origin } from "../../origin.ts";
import { type ImageFiles, pieceLength } from "./image-files.ts";

/** An image's files in a folder. */
export class FolderFiles implements ImageFiles {
  readonly origin: Origin;
  readonly #folder: string;

  constructor(folder: string) {
    this.origin = { invalid: "ARCHIVE_INVALID", name: folder };
    this.#folder = folder;
    if (this.#isFolder()) return;
    throw new SupermachineError("IMAGE_NOT_FOUND", `No folder '${folder}'`, {
      hint: "Check the path; 'oci:' takes a folder, 'oci-archive:' a tar file",
    });
  }

  size(path: string): number | undefined {
    const info = this.#try(() => statSync(join(this.#folder, path)));
    return info?.isFile() === true ? info.size : undefined;
  }

  read(path: string, maximumLength: number): Uint8Array | undefined {
    const size = this.size(path);
    if (size === undefined) return undefined;
    if (size > maximumLength) throw invalidDocument(this.origin, `'${path}' is too long`);
    return this.#try(() => readFileSync(join(this.#folder, path)));
  }

  *stream(path: string): Generator<Uint8Array, void, undefined> {
    const full = join(this.#folder, path);
    const fd = this.#try(() => openSync(full, "r"));
    if (fd === undefined) throw invalidDocument(this.origin, `'${path}' is missing`);
    try {
      for (;;) {
        // A new buffer each time: the last one may still be on its way to the disk.
        const piece = Buffer.allocUnsafe(pieceLength);
        const count = readSync(fd, piece, 0, piece.length, null);
        if (count === 0) return;
        yield piece.subarray(0, count);
      }
    } finally {
      closeSync(fd);
    }
  }

  [Symbol.dispose](): void {
    // Nothing stays open.
  }

  #isFolder(): boolean {
    return this.#try(() => statSync(this.#folder))?.isDirectory() === true;
  }

  #try<Result>(work: () => Result): Result | undefined {
    try {
      return work();
    } catch (error) {
      if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
      throw systemFailure(error, "Reading image folder", this.#folder);
    }
  }
}
