import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Home } from "./home.ts";
import {
  formatIdentity,
  identifyProcess,
  isAbandoned,
  type ProcessIdentity,
  parseIdentity,
} from "./process-identity.ts";

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
  const path = join(
    home.temporary,
    [prefix, formatIdentity(identifyProcess()), randomBytes(6).toString("hex")].join("."),
  );
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

function parseName(name: string): ProcessIdentity | undefined {
  const [, owner] = /^[A-Za-z0-9-]+\.(.+)\.[0-9a-f]{12}$/.exec(name) ?? [];
  return owner === undefined ? undefined : parseIdentity(owner);
}
