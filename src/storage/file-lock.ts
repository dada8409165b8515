import { link, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { SupermachineError } from "../errors/supermachine-error.ts";
import type { Home } from "./home.ts";
import { formatIdentity, identifyProcess, isAbandoned, parseIdentity } from "./process-identity.ts";
import { createTemporary } from "./temporary.ts";

/** Held until disposed of, or until its process dies. */
export interface FileLock extends AsyncDisposable {}

export interface FileLockOptions {
  /** Ends the wait with ABORTED. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * A lock between processes that needs no flock and outlives no one: waits until no living process holds `name` in
 * `folder`.
 *
 * Every contender puts a numbered ticket with its identity there, one higher than the highest, and holds the lock when
 * all lower tickets belong to the dead. Someone who was slow to choose a number may find a higher ticket after its own
 * was placed: that one may already hold the lock, so the slow one starts anew. Only the holder removes the tickets
 * of the dead: no number below its own can come back.
 */
export async function acquireFileLock(
  home: Home,
  { folder, name }: { readonly folder: string; readonly name: string },
  { signal }: FileLockOptions = {},
): Promise<FileLock> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const own = await placeTicket(home, folder, name);
  const path = ticketPath(folder, name, own);
  const release = (): Promise<void> => rm(path, { force: true });
  try {
    for (;;) {
      if (signal?.aborted)
        throw new SupermachineError("ABORTED", `Waiting for the lock '${name}' was aborted`, {
          cause: signal.reason,
        });
      const lower = (await tickets(folder, name)).filter((number) => number < own);
      const living = await Promise.all(lower.map((number) => isLiving(ticketPath(folder, name, number))));
      if (!living.includes(true)) {
        await Promise.all(lower.map((number) => rm(ticketPath(folder, name, number), { force: true })));
        return { [Symbol.asyncDispose]: release };
      }
      await delay(pollMs, undefined, { signal }).catch(() => undefined);
    }
  } catch (error) {
    await release();
    throw error;
  }
}

/** Locks are held for as long as a boot takes; the wait adds little to that. */
const pollMs = 25;

/** The number of a ticket that was the highest when it was placed, and after. */
async function placeTicket(home: Home, folder: string, name: string): Promise<number> {
  using temporary = createTemporary(home, "lock");
  await writeFile(temporary.path, formatIdentity(identifyProcess()), { flag: "wx", mode: 0o600 });
  for (;;) {
    const number = Math.max(0, ...(await tickets(folder, name))) + 1;
    const path = ticketPath(folder, name, number);
    // A link makes the ticket appear with its content.
    const placed = await link(temporary.path, path).then(
      () => true,
      (error: unknown) => {
        if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
        throw error;
      },
    );
    if (!placed) continue;
    if (Math.max(...(await tickets(folder, name))) === number) return number;
    await rm(path, { force: true });
  }
}

async function tickets(folder: string, name: string): Promise<number[]> {
  return (await readdir(folder))
    .filter((entry) => entry.startsWith(`${name}.`))
    .map((entry) => entry.slice(name.length + 1))
    .filter((rest) => /^[1-9]\d{0,14}$/.test(rest))
    .map(Number);
}

async function isLiving(path: string): Promise<boolean> {
  const text = await readFile(path, "latin1").catch(() => undefined);
  if (text === undefined) return false;
  const owner = parseIdentity(text);
  return owner !== undefined && !(await isAbandoned(path, owner));
}

function ticketPath(folder: string, name: string, number: number): string {
  return join(folder, `${name}.${number}`);
}
