import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { systemFailure } from "../../errors/system-failure.ts";
import type { Home } from "../../storage/home.ts";
import { createTemporary, type Temporary } from "../../storage/temporary.ts";
import {
  encodeManifest,
  type SnapshotId,
  type SnapshotManifest,
  snapshotFormatVersion,
} from "../manifest.ts";
import { type PageMap, pageLength, pageMapCodec } from "../page-map.ts";
import { type SavedComponent, saveComponent } from "../state-codec.ts";
import { encodeStateFile } from "../state-file.ts";
import { blockLength, type MemoryContent } from "./memory-content.ts";
import { MemoryWriter } from "./memory-writer.ts";
import { canBeBasedOn, type OpenedSnapshot } from "./open-snapshot.ts";
import { completeMemory, publishSnapshot, writeNew } from "./publish-snapshot.ts";
import { manifestName, memoryPath, sha256, stateName } from "./snapshot-files.ts";

/** What a snapshot says about itself, as far as the writer does not find out. */
export interface SnapshotDescription
  extends Pick<SnapshotManifest, "madeBy" | "machine" | "cpu" | "kernel" | "agent"> {
  readonly components: readonly SavedComponent[];
  readonly labels?: Readonly<Record<string, string>>;
  /** False: it may be lost in a power failure, which saves waiting for the disk. Default true. */
  readonly durable?: boolean;
  /** Milliseconds since 1970; now by default. */
  readonly createdAt?: number;
}

export interface CaptureOptions {
  /**
   * A snapshot that the machine's memory was once the same as: only what differs is written. Not used, so that the new
   * snapshot stands by itself, where too many build on each other already. It must be leased until `finish` resolves.
   */
  readonly parent?: OpenedSnapshot | undefined;
  /**
   * The only pages that can differ from what the new snapshot has so far: at first the parent's memory, or zeros without
   * one, then what was copied last.
   */
  readonly candidates?: PageMap | undefined;
}

/**
 * Makes one snapshot, in steps so that the machine stands still only for one of them: `copyMemory` copies what is there while
 * it runs, as often as that helps, `captureMemory` what has changed since while it stands still, and `finish` writes
 * what is left to write, computes digests, waits for the disk and gives the folder its name. Until then there is nothing but a
 * temporary folder, which goes with the writer, or with the next sweep when the process is killed.
 *
 * @example
 * ```ts
 * await using writer = new SnapshotWriter(home);
 * await writer.captureMemory(content);
 * const id = await writer.finish({ components, madeBy, machine, cpu, kernel, agent });
 * ```
 */
export class SnapshotWriter implements AsyncDisposable {
  readonly #home: Home;
  readonly #folder: Temporary;
  #memory: MemoryWriter | undefined;
  #parent: OpenedSnapshot | undefined;
  #isCaptured = false;

  constructor(home: Home) {
    this.#home = home;
    this.#folder = createTemporary(home, "snapshot");
  }

  /**
   * Copies the memory of a machine that runs. What changes from the moment on at which this is called must be among
   * the candidates of the next call, or of `captureMemory`. The parent is the same in all of them.
   *
   * @throws SupermachineError `NO_SPACE`, `PERMISSION_DENIED`.
   */
  async copyMemory(content: MemoryContent, options: CaptureOptions = {}): Promise<void> {
    await this.#onMemory(content, options, (memory, candidates) => memory.copy(content, candidates));
  }

  /**
   * Copies the memory, which must not change until this resolves. Once, and last. A small number of candidates is
   * only put aside, for `finish` to write.
   *
   * @throws SupermachineError `NO_SPACE`, `PERMISSION_DENIED`.
   */
  async captureMemory(content: MemoryContent, options: CaptureOptions = {}): Promise<void> {
    await this.#onMemory(content, options, async (memory, candidates) => {
      if (candidates !== undefined && candidates.count <= maxStagedPages) memory.stage(content, candidates);
      else await memory.copy(content, candidates);
      this.#isCaptured = true;
    });
  }

  /**
   * Completes the snapshot; the machine may run meanwhile. Once.
   *
   * @returns Its id; it is in `home.snapshots` from now on.
   * @throws SupermachineError `NO_SPACE`, `PERMISSION_DENIED`.
   */
  async finish(description: SnapshotDescription): Promise<SnapshotId> {
    const { components, labels = {}, durable = true, createdAt = Date.now(), ...rest } = description;
    const memory = this.#memory;
    if (memory === undefined || !this.#isCaptured) throw new TypeError("No memory has been captured");
    const parent = this.#parent;
    const folder = this.#folder.path;
    try {
      const pages = await memory.finish();
      const memoryDigest = await completeMemory(folder, memory.file, { pages, durable });
      const state = encodeStateFile([...components, saveComponent(pageMapCodec, pages)]);
      await writeNew(join(folder, stateName), state, { durable });
      const manifest = encodeManifest({
        format: snapshotFormatVersion,
        createdAt,
        ...rest,
        memory: { length: pages.pages * pageLength, pages: pages.count, digest: memoryDigest },
        state: { length: state.length, digest: sha256(state) },
        ...(parent === undefined ? {} : { parent: parent.id }),
        labels,
      });
      await writeNew(join(folder, manifestName), manifest, { durable });
      const id = sha256(manifest);
      await publishSnapshot(this.#home, { folder, id, durable });
      return id;
    } catch (error) {
      throw systemFailure(error, "Writing a snapshot in", this.#home.snapshots);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#memory?.[Symbol.asyncDispose]();
    this.#memory = undefined;
    this.#folder[Symbol.dispose]();
  }

  async #onMemory(
    { length }: MemoryContent,
    { parent, candidates }: CaptureOptions,
    work: (memory: MemoryWriter, candidates: PageMap | undefined) => Promise<void>,
  ): Promise<void> {
    if (this.#isCaptured) throw new TypeError("The memory has been captured already");
    if (!(length > 0 && length % blockLength === 0))
      throw new RangeError(`A memory cannot have ${length} bytes`);
    const used = parent !== undefined && canBeBasedOn(parent) ? parent : undefined;
    if (used !== undefined && used.manifest.memory.length !== length)
      throw new RangeError(`A memory of ${length} bytes cannot be based on this parent`);
    // The first candidates are about the parent that was given.
    const known = this.#memory === undefined && used !== parent ? undefined : candidates;
    try {
      this.#memory ??= await this.#create(length, used);
      await work(this.#memory, known);
    } catch (error) {
      throw systemFailure(error, "Writing a snapshot in", this.#folder.path);
    }
  }

  async #create(length: number, parent: OpenedSnapshot | undefined): Promise<MemoryWriter> {
    await mkdir(this.#folder.path, { mode: 0o700 });
    this.#parent = parent;
    return await MemoryWriter.create(memoryPath(this.#folder.path), { length, base: parent?.memory });
  }
}

/** 8 MiB: copied within a few milliseconds, whatever the disk does. */
const maxStagedPages = 2048;
