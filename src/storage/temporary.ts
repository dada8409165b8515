import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Home } from "./home.ts";

/** A path of one's own in the home's temporary folder. Disposing removes whatever is there, or nothing. */
export interface Temporary extends Disposable {
  readonly path: string;
}

/**
 * Reserves a name in `home.temporary` for an unfinished file or folder; nothing is created but that folder. The name
 * carries who owns it, so that `sweepTemporary` can tell the leftovers of dead processes from work in progress.
 * A finished file is renamed away before the disposal, which then finds nothing to remove.
 *
 * `prefix` says what it is for: letters, digits and hyphens.
 */
export function createTemporary(home: Home, prefix: string): Temporary {
  if (!/^[A-Za-z0-9-]+$/.test(prefix)) throw new TypeError(`Unusable prefix for a temporary: '${prefix}'`);
  mkdirSync(home.temporary, { recursive: true, mode: 0o700 });
  const { place, pid, started } = self();
  const path = join(home.temporary, [prefix, place, pid, started, randomBytes(6).toString("hex")].join("."));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Removes what dead processes left in `home.temporary`; returns the removed names. Foreign names stay. */
export async function sweepTemporary(home: Home): Promise<string[]> {
  const names = await readdir(home.temporary).catch(() => []);
  const removed: string[] = [];
  for (const name of names) {
    const owner = parseName(name);
    if (owner === undefined || !(await isAbandoned(join(home.temporary, name), owner))) continue;
    // Another process may be sweeping as well, or the file system may refuse: the next sweep tries again.
    await rm(join(home.temporary, name), { recursive: true, force: true }).then(
      () => removed.push(name),
      () => undefined,
    );
  }
  return removed;
}

/**
 * An owner that cannot be looked up from here (another boot, another container or host that shares the folder) is
 * taken for dead when its file has not been written to for this long.
 */
const foreignGraceMs = 24 * 60 * 60 * 1000;

interface Owner {
  /** Which process numbering `pid` belongs to: this boot and this process namespace. */
  readonly place: string;
  readonly pid: number;
  /** Tells a process from a later one with the same number. */
  readonly started: string;
}

function parseName(name: string): Owner | undefined {
  const match = /^[A-Za-z0-9-]+\.([0-9a-f]{8})\.(\d{1,10})\.(\d{1,20})\.[0-9a-f]{12}$/.exec(name);
  const [, place, pid, started] = match ?? [];
  if (place === undefined || pid === undefined || started === undefined) return undefined;
  return { place, pid: Number(pid), started };
}

async function isAbandoned(path: string, owner: Owner): Promise<boolean> {
  if (owner.place === self().place) return processStart(owner.pid) !== owner.started;
  const info = await stat(path).catch(() => undefined);
  return info !== undefined && Date.now() - info.mtimeMs > foreignGraceMs;
}

let ownIdentity: Owner | undefined;

function self(): Owner {
  ownIdentity ??= { place: placeId(), pid: process.pid, started: processStart(process.pid) ?? "0" };
  return ownIdentity;
}

function placeId(): string {
  const hash = createHash("sha256");
  for (const read of [
    () => readFileSync("/proc/sys/kernel/random/boot_id", "latin1"),
    () => readlinkSync("/proc/self/ns/pid"),
  ]) {
    try {
      hash.update(read());
    } catch {
      // No such file outside Linux; process numbers mean one thing per host there.
    }
  }
  return hash.digest("hex").slice(0, 8);
}

/** When the process started, in the system's own unit; undefined when it does not run. Elsewhere than on Linux "0". */
function processStart(pid: number): string | undefined {
  if (process.platform !== "linux") return isRunning(pid) ? "0" : undefined;
  try {
    // proc(5): the command name may hold anything, so fields are counted from its closing parenthesis on.
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const state = fields[0];
    if (state === "Z" || state === "X") return undefined;
    return fields[19];
  } catch {
    return undefined;
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
