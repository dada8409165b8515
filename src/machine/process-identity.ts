import { readFile } from "node:fs/promises";

/** A process, told apart from a later one that got the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** The boot it was started in, and when; undefined where the system does not say (not Linux). */
  readonly started?: string;
}

/** The identity of a running process; of this one by default. */
export async function identifyProcess(pid: number = process.pid): Promise<ProcessIdentity> {
  const found = await look(pid);
  return found?.started === undefined ? { pid } : { pid, started: found.started };
}

/** True while that very process runs. A zombie does not. */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  if (!answersSignal(identity.pid)) return false;
  const found = await look(identity.pid);
  if (found === undefined) return process.platform !== "linux";
  return !found.dead && (identity.started === undefined || identity.started === found.started);
}

function answersSignal(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Somebody else's process runs, too.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** proc(5), /proc/pid/stat: field 3 is the state, field 22 the start time in clock ticks since boot. */
async function look(pid: number): Promise<{ started: string; dead: boolean } | undefined> {
  try {
    const [stat, boot] = await Promise.all([
      readFile(`/proc/${pid}/stat`, "latin1"),
      readFile("/proc/sys/kernel/random/boot_id", "latin1"),
    ]);
    // The name in field 2 may itself contain spaces and parentheses; the last one closes it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { started: `${boot.trim()}/${fields[19]}`, dead: fields[0] === "Z" || fields[0] === "X" };
  } catch {
    return undefined;
  }
}
