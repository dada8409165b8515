import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { stat } from "node:fs/promises";

/** A process, told apart from a later one that got the same number. */
export interface ProcessIdentity {
  /** Which process numbering `pid` belongs to: this boot and this process namespace. */
  readonly place: string;
  readonly pid: number;
  /** When it started, in the system's own unit. */
  readonly started: string;
}

/** The identity of a running process; of this one by default. */
export function identifyProcess(pid: number = process.pid): ProcessIdentity {
  ownIdentity ??= { place: placeId(), pid: process.pid, started: processStart(process.pid) ?? noStart };
  if (pid === ownIdentity.pid) return ownIdentity;
  return { place: ownIdentity.place, pid, started: processStart(pid) ?? noStart };
}

/** True while that very process runs; a zombie does not, and one of another place cannot be seen to. */
export function isAlive({ place, pid, started }: ProcessIdentity): boolean {
  return isHere(place) && processStart(pid) === started;
}

/** Whether the process that owns the file at `path` runs no more. */
export async function isAbandoned(path: string, owner: ProcessIdentity): Promise<boolean> {
  if (isHere(owner.place)) return !isAlive(owner);
  const info = await stat(path).catch(() => undefined);
  return info !== undefined && Date.now() - info.mtimeMs > foreignGraceMs;
}

/** An identity as part of a file name; `parseIdentity` reads it back. */
export function formatIdentity({ place, pid, started }: ProcessIdentity): string {
  return `${place}.${pid}.${started}`;
}

export function parseIdentity(text: string): ProcessIdentity | undefined {
  const [, place, pid, started] = /^([0-9a-f]{8})\.(\d{1,10})\.(\d{1,20})$/.exec(text) ?? [];
  if (place === undefined || pid === undefined || started === undefined) return undefined;
  return { place, pid: Number(pid), started };
}

let ownIdentity: ProcessIdentity | undefined;

/** Said of what does not run: on Linux only the kernel's own first processes can have started then. */
const noStart = "0";

/**
 * An owner that cannot be looked up from here (another boot, another container or host that shares the folder) is
 * taken for dead when its file has not been written to for this long.
 */
const foreignGraceMs = 24 * 60 * 60 * 1000;

function isHere(place: string): boolean {
  return place === identifyProcess().place;
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
