import * as v from "valibot";
import { pageLength } from "./page-map.ts";
import { invalidSnapshot, mismatchedSnapshot } from "./snapshot-error.ts";

/** Of the snapshot directory as a whole. Components have versions of their own. */
export const snapshotFormatVersion = 1;

/** What a snapshot is of and what it needs: `manifest.json`. Everything but the machine's state and memory. */
export interface SnapshotManifest {
  readonly format: typeof snapshotFormatVersion;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly madeBy: SnapshotMaker;
  readonly machine: SnapshotMachine;
  readonly cpu: SnapshotCpu;
  readonly kernel: { readonly release: string; readonly digest: Sha256 };
  readonly agent: { readonly digest: Sha256 };
  readonly memory: SnapshotMemory;
  readonly state: { readonly length: number; readonly digest: Sha256 };
  /** The snapshot that this one's memory is based on. */
  readonly parent?: SnapshotId;
  /** Free-form words of whoever made it. */
  readonly labels: Readonly<Record<string, string>>;
}

/** 64 lower-case hex digits. */
export type Sha256 = string;
/** Hash of the manifest's bytes, which has the hashes of everything else: a snapshot's name by content. */
export type SnapshotId = Sha256;

export interface SnapshotMaker {
  /** Of supermachine: "1.2.3". */
  readonly version: string;
  readonly engine: string;
  /** "kvm", "hvf" ... */
  readonly hypervisor: string;
}

export interface SnapshotMachine {
  readonly architecture: "x64" | "arm64";
  readonly cpus: number;
  readonly memoryMiB: number;
  /** What is in each device slot, "" where it is free. */
  readonly slots: readonly string[];
}

/** The processor as the guest sees it. */
export interface SnapshotCpu {
  /** "GenuineIntel" ... */
  readonly vendor: string;
  /** Words of feature bits; their names are in cpu-features.ts. */
  readonly features: Readonly<Record<string, number>>;
  /** Of everything that the processor tells about itself. */
  readonly digest: Sha256;
}

export interface SnapshotMemory {
  /** Of the memory, and of its file. */
  readonly length: number;
  /** How many pages this snapshot's own file speaks about. */
  readonly pages: number;
  /** Of those pages' bytes, in order. */
  readonly digest: Sha256;
}

/** Labels are for people and scripts. */
const maxLabels = 64;
const maxLabelLength = 4096;
export const maxManifestLength: number = 512 * 1024;

/** As it is written; `parseManifest` reads it back. */
export function encodeManifest(manifest: SnapshotManifest): Uint8Array {
  const bytes = new TextEncoder().encode(`${JSON.stringify(manifest, undefined, 1)}\n`);
  // What cannot be read back must not be written.
  parseManifest(bytes);
  return bytes;
}

/** @throws SupermachineError `SNAPSHOT_INVALID`, or `SNAPSHOT_MISMATCH` for another format version. */
export function parseManifest(bytes: Uint8Array): SnapshotManifest {
  if (bytes.length > maxManifestLength) throw invalidSnapshot("its manifest is too long");
  const json = parseJson(bytes);
  const version = v.safeParse(versionSchema, json);
  if (!version.success) throw invalidSnapshot("its manifest is none");
  if (version.output.format !== snapshotFormatVersion)
    throw mismatchedSnapshot(`its format has version ${version.output.format}, not ${snapshotFormatVersion}`);
  const result = v.safeParse(schema, json, { abortEarly: true });
  if (!result.success) {
    const path = v.getDotPath(result.issues[0])?.slice(0, 100);
    throw invalidSnapshot(`its manifest is malformed${path === undefined ? "" : ` at '${path}'`}`);
  }
  const manifest = result.output;
  const { memory, machine } = manifest;
  if (memory.length !== machine.memoryMiB * 2 ** 20 || memory.pages > memory.length / pageLength)
    throw invalidSnapshot("its manifest contradicts itself about the memory");
  return manifest;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw invalidSnapshot("its manifest is not JSON", cause);
  }
}

const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
const word = v.pipe(v.string(), v.regex(/^[\x20-\x7e]{0,128}$/));
const natural = (maximum: number) => v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(maximum));
const label = v.pipe(v.string(), v.maxLength(maxLabelLength));

const versionSchema = v.looseObject({ format: natural(2 ** 31) });

const schema = v.strictObject({
  format: v.literal(snapshotFormatVersion),
  createdAt: natural(Number.MAX_SAFE_INTEGER),
  madeBy: v.strictObject({ version: word, engine: word, hypervisor: word }),
  machine: v.strictObject({
    architecture: v.picklist(["x64", "arm64"]),
    cpus: v.pipe(natural(1024), v.minValue(1)),
    memoryMiB: v.pipe(natural(2 ** 24), v.minValue(1)),
    slots: v.pipe(v.array(word), v.maxLength(256)),
  }),
  cpu: v.strictObject({
    vendor: word,
    features: v.pipe(
      v.record(word, natural(2 ** 32 - 1)),
      v.check((features) => Object.keys(features).length <= 64),
    ),
    digest: sha256,
  }),
  kernel: v.strictObject({ release: word, digest: sha256 }),
  agent: v.strictObject({ digest: sha256 }),
  memory: v.strictObject({ length: natural(2 ** 44), pages: natural(2 ** 32), digest: sha256 }),
  state: v.strictObject({ length: natural(2 ** 30), digest: sha256 }),
  parent: v.exactOptional(sha256),
  labels: v.pipe(
    v.record(label, label),
    v.check((labels) => Object.keys(labels).length <= maxLabels),
  ),
});
