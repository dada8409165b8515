import { randomBytes } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { SupermachineError } from "../errors/supermachine-error.ts";
import type { Home } from "../storage/home.ts";
import { isAlive } from "../storage/process-identity.ts";
import { ended, isLive, type MachineRecord, parseRecord } from "./machine-record.ts";

/**
 * The machines of all processes, as files:
 *
 * - `machines/<id>/machine.json`: the record, replaced atomically by the machine's owner alone;
 * - `machines/<id>/log.jsonl`: the main command's output; `monitor.log`: what a detached monitor prints;
 * - `machines/<id>/run/`: sockets and scratch files while the machine runs;
 * - `machines/.names/<name>`: a symbolic link that says the id. Creating it is what reserves a name.
 *
 * Whoever reads a record whose owner is dead settles it, so that nothing here claims that a dead machine runs.
 *
 * What is part of every start and every end is done without a detour over other threads.
 */
export class MachineRegistry {
  readonly home: Home;

  constructor(home: Home) {
    this.home = home;
  }

  folder(id: string): string {
    return join(this.home.machines, id);
  }

  /**
   * Adds a machine under an unused id, with its name reserved.
   *
   * @param make Makes the record for the id and the folder of its sockets.
   * @throws SupermachineError `NAME_IN_USE`.
   */
  async add(
    name: string,
    make: (place: { id: string; runDirectory: string }) => MachineRecord,
  ): Promise<MachineRecord> {
    const id = randomBytes(6).toString("hex");
    const folder = this.folder(id);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    try {
      const record = make({ id, runDirectory: makeRunDirectory(folder) });
      this.write(record);
      await this.#reserve(name, id);
      return record;
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Fails early where a name is taken; `add` is what decides. @throws SupermachineError `NAME_IN_USE`. */
  async checkName(name: string): Promise<void> {
    const id = this.#idOf(name);
    const record = id === undefined ? undefined : await this.read(id);
    if (record !== undefined) throw nameInUse(name, record);
  }

  /** Replaces a machine's record. Its folder must exist: a machine that was removed does not come back. */
  write(record: MachineRecord): void {
    const path = join(this.folder(record.info.id), "machine.json");
    const temporary = `${path}.${randomBytes(4).toString("hex")}`;
    writeFileSync(temporary, `${JSON.stringify(record, undefined, 1)}\n`, { flag: "wx", mode: 0o600 });
    renameSync(temporary, path);
  }

  /** A machine's record as it is now; undefined when there is none (any more). */
  async read(id: string): Promise<MachineRecord | undefined> {
    const record = this.#load(id);
    if (record === undefined || !isLive(record) || isAlive(record.owner)) return record;
    // The owner may have written its last word between our two looks; after its death nothing changes any more.
    const last = this.#load(id);
    return last === undefined || !isLive(last) ? last : this.#settle(last);
  }

  /** Every machine, oldest first. */
  async list(): Promise<MachineRecord[]> {
    const ids = (await entries(this.home.machines)).filter((name) => /^[0-9a-f]{12}$/.test(name));
    const records = await Promise.all(ids.map((id) => this.read(id)));
    return records
      .filter((record) => record !== undefined)
      .sort((a, b) => a.info.createdAt - b.info.createdAt);
  }

  /**
   * A machine by name, id or the first digits of its id.
   *
   * @throws SupermachineError `MACHINE_NOT_FOUND`, `INVALID_ARGUMENT` when several ids start with the digits.
   */
  async find(nameOrId: string): Promise<MachineRecord> {
    const named = isName(nameOrId) ? this.#idOf(nameOrId) : undefined;
    if (named !== undefined) {
      const record = await this.read(named);
      if (record !== undefined) return record;
    }
    const matching = /^[0-9a-f]{1,12}$/.test(nameOrId)
      ? (await this.list()).filter(({ info }) => info.id.startsWith(nameOrId))
      : [];
    if (matching.length > 1)
      throw new SupermachineError(
        "INVALID_ARGUMENT",
        `Several machines have ids that start with '${nameOrId}'`,
        {
          hint: "Give more digits, or the name",
        },
      );
    if (matching[0] === undefined)
      throw new SupermachineError("MACHINE_NOT_FOUND", `There is no machine '${nameOrId}'`, {
        hint: "List them all with 'supermachine ps --all' or Machine.list({ all: true })",
      });
    return matching[0];
  }

  /** Deletes everything about a machine. Idempotent. */
  remove(record: MachineRecord): void {
    const { id, name } = record.info;
    if (this.#idOf(name) === id) rmSync(this.#namePath(name), { force: true });
    this.removeRunDirectory(record);
    rmSync(this.folder(id), { recursive: true, force: true });
  }

  /** Deletes the sockets and scratch files of a machine that has ended. */
  removeRunDirectory(record: MachineRecord): void {
    const { runDirectory } = record;
    const own = dirname(runDirectory) === this.folder(record.info.id);
    const short = dirname(runDirectory) === tmpdir() && runDirectory.startsWith(join(tmpdir(), shortPrefix));
    // The path comes from a file: nothing else than what makeRunDirectory makes is ever deleted.
    if (own || short) rmSync(runDirectory, { recursive: true, force: true });
  }

  /**
   * Deletes what is in the way of nobody but takes space: folders whose creation was cut short before they got a record,
   * and everything that `list` settles.
   */
  async sweep(): Promise<void> {
    await this.list();
    for (const name of await entries(this.home.machines)) {
      const folder = this.folder(name);
      if (!/^[0-9a-f]{12}$/.test(name)) continue;
      // A record that cannot be read may be another version's, and its machine may run.
      if ((await stat(join(folder, "machine.json")).catch(ignoreMissing)) !== undefined) continue;
      const { mtimeMs } = await stat(folder).catch(() => ({ mtimeMs: Date.now() }));
      if (Date.now() - mtimeMs > abandonedMs) await rm(folder, { recursive: true, force: true });
    }
  }

  async #settle(record: MachineRecord): Promise<MachineRecord | undefined> {
    if (record.guest !== undefined && isAlive(record.guest)) process.kill(record.guest.pid, "SIGKILL");
    // A machine inside a program is that program's own affair: with it gone nobody will ask for its remains.
    if (record.config.remove || !record.config.detached) {
      this.remove(record);
      return undefined;
    }
    const crashed = ended(record, { reason: "crashed", detail: "Its monitor process is gone" });
    this.removeRunDirectory(record);
    try {
      this.write(crashed);
    } catch (error) {
      ignoreMissing(error);
    }
    return crashed;
  }

  #load(id: string): MachineRecord | undefined {
    try {
      return parseRecord(readFileSync(join(this.folder(id), "machine.json"), "utf8"));
    } catch (error) {
      return ignoreMissing(error);
    }
  }

  async #reserve(name: string, id: string): Promise<void> {
    const path = this.#namePath(name);
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    for (;;) {
      if (linked(id, path)) return;
      const other = this.#idOf(name);
      const record = other === undefined ? undefined : await this.read(other);
      if (record !== undefined) throw nameInUse(name, record);
      // The name outlived its machine: its folder was deleted by hand.
      rmSync(path, { force: true });
    }
  }

  #idOf(name: string): string | undefined {
    try {
      const id = readlinkSync(this.#namePath(name));
      return /^[0-9a-f]{12}$/.test(id) ? id : undefined;
    } catch (error) {
      return ignoreMissing(error);
    }
  }

  #namePath(name: string): string {
    return join(this.home.machines, ".names", name);
  }
}

/** A folder gets its record within moments of its creation. */
const abandonedMs = 60 * 60 * 1000;

/** sun_path holds 108 bytes with its final NUL (unix(7)); the longest socket name in this folder is shorter than this. */
const longestRunDirectory = 108 - 1 - 40;
const shortPrefix = "supermachine-";

function makeRunDirectory(folder: string): string {
  const path = join(folder, "run");
  if (Buffer.byteLength(path) > longestRunDirectory) return mkdtempSync(join(tmpdir(), shortPrefix));
  mkdirSync(path, { mode: 0o700 });
  return path;
}

/** False when there is something at this path already. */
function linked(target: string, path: string): boolean {
  try {
    symlinkSync(target, path);
    return true;
  } catch (error) {
    if (errno(error) === "EEXIST") return false;
    throw error;
  }
}

function nameInUse(name: string, holder: MachineRecord): SupermachineError {
  return new SupermachineError("NAME_IN_USE", `Another machine is called '${name}'`, {
    hint: `Choose another name, or remove it: supermachine rm ${name}`,
    data: { id: holder.info.id },
  });
}

function isName(text: string): boolean {
  return /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(text);
}

async function entries(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(ignoreMissing)) ?? [];
}

function ignoreMissing(error: unknown): undefined {
  if (errno(error) === "ENOENT") return undefined;
  throw error;
}

function errno(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
