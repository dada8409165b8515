import fs from "node:fs";
import { type ErofsSummary, writeErofs } from "../../src/rootfs/erofs/write-erofs.ts";
import type { ByteSource, DirectoryNode } from "../../src/rootfs/tree.ts";

/** Writes an image into a file. */
export function writeImageFile(root: DirectoryNode, path: string): ErofsSummary {
  const fd = fs.openSync(path, "w");
  try {
    return writeErofs(root, {
      write(position, bytes) {
        for (let done = 0; done < bytes.length; )
          done += fs.writeSync(fd, bytes, done, bytes.length - done, position + done);
      },
    });
  } finally {
    fs.closeSync(fd);
  }
}

/** An image file to read from. */
export class ImageFile implements ByteSource, Disposable {
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = fs.openSync(path, "r");
  }

  read(position: number, into: Uint8Array): void {
    if (fs.readSync(this.#fd, into, 0, into.length, position) !== into.length)
      throw new Error("The image ends early");
  }

  [Symbol.dispose](): void {
    fs.closeSync(this.#fd);
  }
}
