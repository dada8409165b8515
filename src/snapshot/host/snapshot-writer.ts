import { type FileHandle, mkdir, open } from "node:fs/promises";
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
import { maxAncestors, type OpenedSnapshot } from "./open-snapshot.ts";
import { completeMemory, publishSnapshot, writeNew } from "./publish-snapshot.ts";
import { RunReader } from "./run-reader.ts";
import { manifestName, memoryPath, sha256, stateName } from "./snapshot-files.ts";
import { writeMemory } from "./write-memory.ts";

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
  /** The pages that can differ from the parent's; without a parent, the pages that can be other than zero. */
  readonly candidates?: PageMap | undefined;
}

/**
 * Makes one snapshot, in two steps so that the machine stands still only for the first: `captureMemory` copies, `finish`
 * computes digests, waits for the disk and gives the folder its name. Until then there is nothing but a temporary folder,
 * which goes with the writer, or with the next sweep when the process is killed.
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
  #file: FileHandle | undefined;
  #captured: { readonly pages: PageMap; readonly parent: OpenedSnapshot | undefined } | undefined;

  constructor(home: Home) {
    this.#home = home;
    this.#folder = createTemporary(home, "snapshot");
  }

  /**
   * Copies the memory, which must not change until this resolves. Once.
   *
   * @throws SupermachineError `NO_SPACE`, `PERMISSION_DENIED`.
   */
  async captureMemory(content: MemoryContent, options: CaptureOptions = {}): Promise<void> {
    if (this.#file !== undefined) throw new TypeError("The memory has been captured already");
    const { length } = content;
    if (!(length > 0 && length % blockLength === 0))
      throw new RangeError(`A memory cannot have ${length} bytes`);
    const parent = (options.parent?.ancestors.length ?? 0) < maxAncestors ? options.parent : undefined;
    if (parent !== undefined && parent.manifest.memory.length !== length)
      throw new RangeError(`A memory of ${length} bytes cannot be based on this parent`);
    // Candidates are about the parent that was given.
    const candidates = parent === options.parent ? options.candidates : undefined;
    try {
      await mkdir(this.#folder.path, { mode: 0o700 });
      this.#file = await open(memoryPath(this.#folder.path), "wx", 0o600);
      await using base = parent === undefined ? undefined : new RunReader(parent.memory);
      this.#captured = { pages: await writeMemory(this.#file, content, { base, candidates }), parent };
    } catch (error) {
      throw systemFailure(error, "Writing a snapshot in", this.#folder.path);
    }
  }

  /**
   * Completes the snapshot; the machine may run meanwhile. Once.
   *
   * @returns Its id; it is in `home.snapshots` from now on.
   * @throws SupermachineError `NO_SPACE`, `PERMISSION_DENIED`.
   */
  async finish(description: SnapshotDescription): Promise<SnapshotId> {
    const { components, labels = {}, durable = true, createdAt = Date.now(), ...rest } = description;
    if (this.#file === undefined || this.#captured === undefined)
      throw new TypeError("No memory has been captured");
    const { pages, parent } = this.#captured;
    const folder = this.#folder.path;
    try {
      const memoryDigest = await completeMemory(folder, this.#file, { pages, durable });
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
    await this.#file?.close();
    this.#file = undefined;
    this.#folder[Symbol.dispose]();
  }
}
