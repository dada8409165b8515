import { SupermachineError } from "../../../errors/supermachine-error.ts";
import { FileSource } from "../../../tar/host/file-source.ts";
import { readTar } from "../../../tar/read-tar.ts";
import type { TarEntry } from "../../../tar/tar-entry.ts";
import { invalidDocument, type Origin } from "../../origin.ts";
import { type ImageFiles, pieceLength } from "./image-files.ts";

/** An image's files in an uncompressed tar file. Opening reads all headers and no content. */
export class TarFiles implements ImageFiles {
  readonly origin: Origin;
  readonly #source: FileSource;
  readonly #entries: ReadonlyMap<string, TarEntry>;

  /** `name` is what users know the archive by; the file itself may be a spooled copy. */
  constructor(path: string, name: string) {
    this.origin = { invalid: "ARCHIVE_INVALID", name };
    this.#source = new FileSource(path);
    try {
      this.#entries = readEntries(this.#source, name);
    } catch (error) {
      this.#source[Symbol.dispose]();
      throw error;
    }
  }

  size(path: string): number | undefined {
    return this.#find(path)?.size;
  }

  read(path: string, maximumLength: number): Uint8Array | undefined {
    const size = this.size(path);
    if (size === undefined) return undefined;
    if (size > maximumLength) throw invalidDocument(this.origin, `entry '${path}' is too long`);
    return Buffer.concat([...this.stream(path)]);
  }

  *stream(path: string): Generator<Uint8Array, void, undefined> {
    const entry = this.#find(path);
    if (entry === undefined) throw invalidDocument(this.origin, `entry '${path}' is missing`);
    const [extent, ...more] = entry.extents;
    if (more.length > 0 || (extent?.length ?? 0) !== entry.size)
      throw invalidDocument(this.origin, `entry '${path}' is a sparse file`);
    for (let at = 0; at < entry.size; at += pieceLength) {
      const piece = Buffer.allocUnsafe(Math.min(pieceLength, entry.size - at));
      this.#source.read((extent?.position ?? 0) + at, piece);
      yield piece;
    }
  }

  [Symbol.dispose](): void {
    this.#source[Symbol.dispose]();
  }

  /** Old versions of `docker save` store a layer that occurs twice as a link to its first occurrence. */
  #find(path: string): TarEntry | undefined {
    let at = path;
    for (let hop = 0; hop < maximumLinks; hop++) {
      const entry = this.#entries.get(normalize(at));
      if (entry === undefined || entry.type === "file") return entry;
      if (entry.type === "hard-link") at = entry.linkTarget;
      else if (entry.type === "symlink") at = `${normalize(at)}/../${entry.linkTarget}`;
      else return undefined;
    }
    throw invalidDocument(this.origin, `entry '${path}' is a loop of links`);
  }
}

/** Real archives have a handful of entries per layer. */
const maximumEntries = 100_000;
const maximumLinks = 8;

function readEntries(source: FileSource, name: string): ReadonlyMap<string, TarEntry> {
  const entries = new Map<string, TarEntry>();
  try {
    for (const entry of readTar(source, source.length, { maxEntries: maximumEntries }))
      entries.set(normalize(entry.path), entry);
  } catch (error) {
    if (!(error instanceof SupermachineError)) throw error;
    throw new SupermachineError(error.code, `Cannot read archive '${name}': ${error.message}`, {
      hint: error.hint ?? "The archive is damaged, incomplete or no tar file; make it again",
      data: error.data,
    });
  }
  return entries;
}

/** Resolves "." and ".." inside the archive; nothing leads out of it. */
function normalize(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/"))
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  return parts.join("/");
}
