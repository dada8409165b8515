import { randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { systemFailure } from "../../errors/system-failure.ts";
import { type TarMember, tarEnd, tarHeader, tarPadding } from "../../tar/write-tar.ts";
import { maxManifestLength, type SnapshotId } from "../manifest.ts";
import { pageLength } from "../page-map.ts";
import { maxStateFileLength } from "../state-file.ts";
import { readFully } from "./hash-memory.ts";
import type { OpenedSnapshot } from "./open-snapshot.ts";
import { manifestName, memoryName, memoryPath, readWhole, stateName } from "./snapshot-files.ts";

/** The first member of an archive of snapshots. */
export const archiveIndexName = "supermachine-snapshot.json";
export const archiveFormatVersion = 1;

/** What that member holds. */
export interface ArchiveIndex {
  readonly format: typeof archiveFormatVersion;
  /** The snapshot that was exported; the others are those it is based on. */
  readonly snapshot: SnapshotId;
}

/**
 * A snapshot as one tar archive, with those that it is based on; memory takes as much space as it has pages. The same
 * snapshot always gives the same bytes. It must be leased until the end.
 */
export async function* exportSnapshot(snapshot: OpenedSnapshot): AsyncGenerator<Uint8Array, void, undefined> {
  const index: ArchiveIndex = { format: archiveFormatVersion, snapshot: snapshot.id };
  yield* smallMember(archiveIndexName, new TextEncoder().encode(`${JSON.stringify(index)}\n`));
  for (const part of [...snapshot.ancestors, snapshot]) {
    const { id, directory } = part;
    yield* smallMember(`${id}/${manifestName}`, readWhole(directory, manifestName, maxManifestLength));
    yield* smallMember(`${id}/${stateName}`, readWhole(directory, stateName, maxStateFileLength));
    yield* memoryMember(part);
  }
  yield tarEnd;
}

/**
 * Writes that archive to a file, which appears only when it is complete.
 *
 * @throws SupermachineError `NO_SPACE`, `PERMISSION_DENIED`.
 */
export async function exportSnapshotFile(
  snapshot: OpenedSnapshot,
  path: string,
  { compression = "none" }: { readonly compression?: "none" | "gzip" } = {},
): Promise<void> {
  const unfinished = `${path}.${randomBytes(4).toString("hex")}.partial`;
  try {
    const source = Readable.from(exportSnapshot(snapshot), { objectMode: false });
    const target = createWriteStream(unfinished, { flags: "wx", mode: 0o600 });
    // The fastest level: most of memory is code and text, and there is much of it.
    if (compression === "gzip") await pipeline(source, createGzip({ level: 1 }), target);
    else await pipeline(source, target);
    {
      await using file = await open(unfinished, "r");
      await file.sync();
    }
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw systemFailure(error, "Writing", path);
  }
}

const plain: Pick<TarMember, "type" | "mode" | "mtime"> = { type: "file", mode: 0o600, mtime: 0 };

function* smallMember(path: string, bytes: Uint8Array): Generator<Uint8Array, void, undefined> {
  yield tarHeader({ ...plain, path, size: bytes.length });
  yield bytes;
  yield tarPadding(bytes.length);
}

async function* memoryMember({ id, directory, manifest, pages }: OpenedSnapshot): AsyncGenerator<Uint8Array> {
  const runs = [...pages.runs()].map(({ start, count }) => ({
    offset: start * pageLength,
    length: count * pageLength,
  }));
  const size = pages.count * pageLength;
  const sparse = { length: manifest.memory.length, runs };
  yield tarHeader({ ...plain, path: `${id}/${memoryName}`, size, sparse });
  await using file = await open(memoryPath(directory), "r");
  for (const { offset, length } of runs)
    for (let done = 0; done < length; done += readLength) {
      // A fresh buffer each time: the consumer may still hold the last one.
      const buffer = new Uint8Array(Math.min(readLength, length - done));
      await readFully(file, offset + done, buffer);
      yield buffer;
    }
  yield tarPadding(size);
}

const readLength = 2 ** 20;
