import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { systemFailure } from "../../errors/system-failure.ts";
import { DisposalStack } from "../../lifetime/disposal-stack.ts";
import type { Home } from "../../storage/home.ts";
import { createTemporary, sweepTemporary } from "../../storage/temporary.ts";
import type { Compression } from "../../tar/compression.ts";
import { decompressFile } from "../../tar/host/decompress.ts";
import { FileSource } from "../../tar/host/file-source.ts";
import { readTar } from "../../tar/read-tar.ts";
import type { TarEntry } from "../../tar/tar-entry.ts";
import { maxManifestLength, parseManifest, type SnapshotId } from "../manifest.ts";
import { type PageMap, pageLength, pageMapCodec } from "../page-map.ts";
import { invalidSnapshot, mismatchedSnapshot } from "../snapshot-error.ts";
import { loadComponent } from "../state-codec.ts";
import { maxStateFileLength, parseStateFile } from "../state-file.ts";
import { archiveFormatVersion, archiveIndexName } from "./export-snapshot.ts";
import { blockLength } from "./memory-content.ts";
import { maxAncestors } from "./open-snapshot.ts";
import { completeMemory, publishSnapshot, writeNew } from "./publish-snapshot.ts";
import { manifestName, memoryName, memoryPath, sha256, stateName } from "./snapshot-files.ts";
import { writeFully } from "./write-fully.ts";

export interface ImportSnapshotOptions {
  readonly home: Home;
  /** Longest archive, uncompressed, in bytes: a few bytes can stand for gigabytes. Default 64 GiB. */
  readonly maxLength?: number;
}

/**
 * Brings the snapshots of an archive that `exportSnapshot` wrote into the home, compressed with gzip or zstd or not.
 * Everything is verified before it gets its name; what is there already stays.
 *
 * @returns The id of the snapshot that was exported.
 * @throws SupermachineError `SNAPSHOT_INVALID`, `SNAPSHOT_MISMATCH`, `ARCHIVE_INVALID`, `NO_SPACE`.
 */
export async function importSnapshotFile(path: string, options: ImportSnapshotOptions): Promise<SnapshotId> {
  const { home, maxLength = 64 * 2 ** 30 } = options;
  await sweepTemporary(home);
  try {
    const compression = compressionOf(path);
    using spool = createTemporary(home, "snapshot-archive");
    if (compression !== "none") await decompressTo(spool.path, { path, compression, maxLength });
    using source = new FileSource(compression === "none" ? path : spool.path);
    if (source.length > maxLength) throw tooLong(maxLength);
    return await importFrom(home, source);
  } catch (error) {
    throw systemFailure(error, "Importing a snapshot from", path);
  }
}

async function importFrom(home: Home, source: FileSource): Promise<SnapshotId> {
  const entries = readTar(source, source.length, { maxEntries, maxSparseExtents: 2 ** 24 });
  const index = parseIndex(contentOf(nextEntry(entries, archiveIndexName), maxIndexLength));
  using folders = new DisposalStack();
  const ready: UnpackedSnapshot[] = [];
  while (ready.at(-1)?.id !== index.snapshot) {
    if (ready.length > maxAncestors) throw invalidSnapshot("the archive does not have what it announces");
    const folder = folders.use(createTemporary(home, "snapshot")).path;
    ready.push({ folder, id: await unpackOne(folder, { entries, parent: ready.at(-1)?.id }) });
  }
  if (entries.next().done !== true) throw invalidSnapshot("the archive has more than it announces");
  for (const { folder, id } of ready) await publishSnapshot(home, { folder, id, durable: true });
  return index.snapshot;
}

interface UnpackedSnapshot {
  readonly folder: string;
  readonly id: SnapshotId;
}

/** Three members and their extended headers for each snapshot, and the index. */
const maxEntries = 1 + (maxAncestors + 1) * 6;
const maxIndexLength = 1024;

/** Makes a folder of the next snapshot in the archive, which must be based on the one before; returns its id. */
async function unpackOne(
  folder: string,
  { entries, parent }: { entries: Iterator<TarEntry>; parent: SnapshotId | undefined },
): Promise<SnapshotId> {
  const first = nextEntry(entries);
  const id = /^([0-9a-f]{64})\/manifest\.json$/.exec(first.path)?.[1];
  if (id === undefined) throw invalidSnapshot("the archive has members in a wrong order");
  const manifestBytes = contentOf(first, maxManifestLength);
  if (sha256(manifestBytes) !== id) throw invalidSnapshot("its manifest was altered");
  const manifest = parseManifest(manifestBytes);
  if (manifest.parent !== parent)
    throw invalidSnapshot("the archive lacks a snapshot that another is based on");
  const state = contentOf(nextEntry(entries, `${id}/${stateName}`), maxStateFileLength);
  if (sha256(state) !== manifest.state.digest) throw invalidSnapshot(`its ${stateName} was altered`);
  const pages = pagesOf(state);
  const memory = nextEntry(entries, `${id}/${memoryName}`);
  if (memory.size !== manifest.memory.length || pages.pages !== memory.size / pageLength)
    throw invalidSnapshot("its memory has another length than it says");
  await mkdir(folder, { mode: 0o700 });
  if ((await writeMemoryEntry(folder, memory, pages)) !== manifest.memory.digest)
    throw invalidSnapshot("its memory was altered");
  await writeNew(join(folder, stateName), state, { durable: true });
  await writeNew(join(folder, manifestName), manifestBytes, { durable: true });
  return id;
}

/** Returns the digest of what was written. */
async function writeMemoryEntry(folder: string, entry: TarEntry, pages: PageMap): Promise<string> {
  await using file = await open(memoryPath(folder), "wx", 0o600);
  await file.truncate(entry.size);
  const runs = [...pages.runs()];
  const same = (extent: { offset: number; length: number }, index: number): boolean =>
    extent.offset === (runs[index]?.start ?? -1) * pageLength &&
    extent.length === (runs[index]?.count ?? -1) * pageLength;
  if (entry.extents.length !== runs.length || !entry.extents.every(same))
    throw invalidSnapshot("its memory has other pages than it says");
  const buffer = new Uint8Array(blockLength);
  for (const { offset, length, position, source } of entry.extents)
    for (let done = 0; done < length; done += blockLength) {
      const bytes = buffer.subarray(0, Math.min(blockLength, length - done));
      source.read(position + done, bytes);
      await writeFully(file, offset + done, bytes);
    }
  return await completeMemory(folder, file, { pages, durable: true });
}

function pagesOf(state: Uint8Array): PageMap {
  const component = parseStateFile(state).find(({ id }) => id === pageMapCodec.id);
  if (component === undefined) throw invalidSnapshot("it has no page map");
  return loadComponent(pageMapCodec, component);
}

function nextEntry(entries: Iterator<TarEntry>, path?: string): TarEntry {
  const next = entries.next();
  if (next.done === true) throw invalidSnapshot("the archive is incomplete");
  if (next.value.type !== "file" || (path !== undefined && next.value.path !== path))
    throw invalidSnapshot("the archive has members in a wrong order");
  return next.value;
}

function contentOf(entry: TarEntry, maxLength: number): Uint8Array {
  if (entry.size > maxLength) throw invalidSnapshot("a member of the archive is too long");
  const bytes = new Uint8Array(entry.size);
  for (const { offset, length, position, source } of entry.extents)
    source.read(position, bytes.subarray(offset, offset + length));
  return bytes;
}

const indexSchema = v.strictObject({
  format: v.literal(archiveFormatVersion),
  snapshot: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
});

function parseIndex(bytes: Uint8Array): v.InferOutput<typeof indexSchema> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw invalidSnapshot("the archive's index is not JSON", cause);
  }
  const version = v.safeParse(v.looseObject({ format: v.number() }), json);
  if (version.success && version.output.format !== archiveFormatVersion)
    throw mismatchedSnapshot(
      `the archive has format version ${version.output.format}, not ${archiveFormatVersion}`,
    );
  const result = v.safeParse(indexSchema, json);
  if (!result.success) throw invalidSnapshot("the archive's index is malformed");
  return result.output;
}

function compressionOf(path: string): Compression {
  const magic = Buffer.alloc(4);
  const fd = openArchive(path);
  try {
    readSync(fd, magic, 0, magic.length, 0);
  } finally {
    closeSync(fd);
  }
  if (magic.readUInt16BE(0) === 0x1f8b) return "gzip";
  return magic.readUInt32LE(0) === 0xfd2fb528 ? "zstd" : "none";
}

function openArchive(path: string): number {
  try {
    return openSync(path, "r");
  } catch (cause) {
    throw new SupermachineError("INVALID_ARGUMENT", `The archive '${path}' cannot be read`, {
      hint: "Check that it exists and may be read",
      cause,
    });
  }
}

async function decompressTo(
  target: string,
  { path, compression, maxLength }: { path: string; compression: Compression; maxLength: number },
): Promise<void> {
  const fd = openSync(target, "wx", 0o600);
  let length = 0;
  try {
    await decompressFile(path, {
      compression,
      onBytes(bytes) {
        length += bytes.length;
        if (length > maxLength) throw tooLong(maxLength);
        for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
      },
    });
  } finally {
    closeSync(fd);
  }
}

function tooLong(maxLength: number): SupermachineError {
  return invalidSnapshot(`the archive is longer than ${maxLength} bytes`);
}
