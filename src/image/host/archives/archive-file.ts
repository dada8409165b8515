import { closeSync, createReadStream, openSync, writeFileSync } from "node:fs";
import { open, stat } from "node:fs/promises";
import { SupermachineError } from "../../../errors/supermachine-error.ts";
import { errnoOf, systemFailure } from "../../../errors/system-failure.ts";
import type { Home } from "../../../storage/home.ts";
import { createTemporary, type Temporary } from "../../../storage/temporary.ts";
import { archiveError } from "../../../tar/archive-error.ts";
import type { Compression } from "../../../tar/compression.ts";
import { decompressFile } from "../../../tar/host/decompress.ts";
import { aborted } from "../registry/retry.ts";

/** An archive as a file that can be read at any place. Disposing removes it if it is a copy. */
export interface ArchiveFile extends Disposable {
  readonly path: string;
  /** What users know it by. */
  readonly name: string;
  readonly compression: Compression;
}

export interface ArchiveFileOptions {
  readonly home: Home;
  readonly stdin?: AsyncIterable<Uint8Array> | undefined;
  readonly signal: AbortSignal;
}

/** Opens an archive; `path` "-" is standard input, which is spooled to a temporary file first. */
export async function openArchiveFile(path: string, options: ArchiveFileOptions): Promise<ArchiveFile> {
  if (path !== "-")
    return { path, name: path, compression: await detect(path), [Symbol.dispose]: () => undefined };
  const spool = createTemporary(options.home, "archive");
  try {
    await copyTo(spool, options);
    const compression = await detect(spool.path);
    return {
      path: spool.path,
      name: "standard input",
      compression,
      [Symbol.dispose]: () => spool[Symbol.dispose](),
    };
  } catch (error) {
    spool[Symbol.dispose]();
    throw systemFailure(error, "Storing standard input in", options.home.temporary);
  }
}

/** The same archive uncompressed, as a temporary copy where it was compressed. The original is disposed with it. */
export async function uncompressed(archive: ArchiveFile, options: ArchiveFileOptions): Promise<ArchiveFile> {
  const { compression, path, name } = archive;
  if (compression === "none") return archive;
  const copy = createTemporary(options.home, "archive");
  const dispose = () => {
    copy[Symbol.dispose]();
    archive[Symbol.dispose]();
  };
  try {
    await decompressTo(copy, archive, options.signal);
    return { path: copy.path, name, compression: "none", [Symbol.dispose]: dispose };
  } catch (error) {
    dispose();
    if (error instanceof SupermachineError && error.code === "ARCHIVE_INVALID")
      throw new SupermachineError(error.code, `Cannot read archive '${name}': ${error.message}`, {
        hint: error.hint ?? "The archive is damaged or incomplete; make it again",
        cause: error,
      });
    throw systemFailure(error, `Uncompressing archive '${path}' to`, options.home.temporary);
  }
}

/** How much an archive may grow: as for layers, far more than real ones do. */
const maximumRatio = 256;
const freeLength = 4 * 1024 ** 3;

async function copyTo(spool: Temporary, options: ArchiveFileOptions): Promise<void> {
  const { signal, stdin = process.stdin } = options;
  if (options.stdin === undefined && process.stdin.isTTY)
    throw new SupermachineError("INVALID_ARGUMENT", "Standard input is a terminal, not an image archive", {
      hint: "Pipe an archive in, for example: docker save alpine | supermachine run - sh",
    });
  await using file = await open(spool.path, "wx", 0o600);
  for await (const chunk of stdin) {
    if (signal.aborted) throw aborted(signal);
    await file.writeFile(chunk);
  }
}

async function decompressTo(copy: Temporary, archive: ArchiveFile, signal: AbortSignal): Promise<void> {
  const allowed = Math.max(freeLength, (await stat(archive.path)).size * maximumRatio);
  const fd = openSync(copy.path, "wx", 0o600);
  let length = 0;
  try {
    await decompressFile(archive.path, {
      compression: archive.compression,
      onBytes: (bytes) => {
        if (signal.aborted) throw aborted(signal);
        length += bytes.length;
        if (length > allowed) throw archiveError(`grows beyond ${allowed} bytes when uncompressed`);
        writeFileSync(fd, bytes);
      },
    });
  } finally {
    closeSync(fd);
  }
}

/** By the first bytes: names lie. */
async function detect(path: string): Promise<Compression> {
  const head: number[] = [];
  try {
    for await (const chunk of createReadStream(path, { end: 5 })) head.push(...(chunk as Uint8Array));
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR")
      throw new SupermachineError("IMAGE_NOT_FOUND", `No file '${path}'`, { hint: "Check the path" });
    if (errnoOf(error) === "EISDIR")
      throw new SupermachineError("ARCHIVE_INVALID", `'${path}' is a folder, not an archive`, {
        hint: `For a folder in OCI layout, write 'oci:${path}'`,
      });
    throw systemFailure(error, "Reading archive", path);
  }
  const magic = Buffer.from(head).toString("hex");
  if (magic.startsWith("1f8b")) return "gzip";
  // Data may begin with skippable frames; a tar file never begins with these bytes.
  if (magic.startsWith("28b52ffd") || /^5.2a4d18/.test(magic)) return "zstd";
  const other = magic.startsWith("fd377a58") ? "xz" : magic.startsWith("425a68") ? "bzip2" : undefined;
  if (other === undefined) return "none";
  throw new SupermachineError("UNSUPPORTED_MEDIA", `Archive '${path}' is compressed with ${other}`, {
    hint: "Uncompress it first, or compress it with gzip or zstd",
  });
}
