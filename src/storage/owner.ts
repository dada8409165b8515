import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { stat } from "node:fs/promises";

/** A process that owns unfinished work. */
export interface Owner {
  /** Which process numbering `pid` belongs to: this boot and this process namespace. */
  readonly place: string;
  readonly pid: number;
  /** Tells a process from a later one with the same number. */
  readonly started: string;
}

/** This process. */
export function currentOwner(): Owner {
  ownIdentity ??= { place: placeId(), pid: process.pid, started: processStart(process.pid) ?? "0" };
  return ownIdentity;
}

/** An owner as part of a file name; `parseOwner` reads it back. */
export function formatOwner(owner: Owner): string {
  return `${owner.place}.${owner.pid}.${owner.started}`;
}

export function parseOwner(text: string): Owner | undefined {
  const [, place, pid, started] = /^([0-9a-f]{8})\.(\d{1,10})\.(\d{1,20})$/.exec(text) ?? [];
  if (place === undefined || pid === undefined || started === undefined) return undefined;
  return { place, pid: Number(pid), started };
}

/** Whether the owner of the file at `path` runs no more. */
export async function isAbandoned(path: string, owner: Owner): Promise<boolean> {
  if (owner.place === currentOwner().place) return processStart(owner.pid) !== owner.started;
  const info = await stat(path).catch(() => undefined);
  return info !== undefined && Date.now() - info.mtimeMs > foreignGraceMs;
}

let ownIdentity: Owner | undefined;

/**
 * An owner that cannot be looked up from here (another boot, another container or host that shares the folder) is
 * taken for dead when its file has not been written to for this long.
 */
const foreignGraceMs = 24 * 60 * 60 * 1000;

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
