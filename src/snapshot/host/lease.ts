import { randomBytes } from "node:crypto";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Home } from "../../storage/home.ts";
import {
  formatIdentity,
  identifyProcess,
  isAbandoned,
  parseIdentity,
} from "../../storage/process-identity.ts";
import type { SnapshotId } from "../manifest.ts";
import { leasesFolder } from "./snapshot-folders.ts";

/**
 * Keeps a snapshot from being removed until disposed of, or until this process dies. Take it before looking whether the
 * snapshot is there: removers first move it aside, then look for leases.
 */
export function leaseSnapshot(home: Home, id: SnapshotId): AsyncDisposable {
  const folder = leasesFolder(home);
  const path = join(folder, `${id}.${formatIdentity(identifyProcess())}.${randomBytes(6).toString("hex")}`);
  // Without a detour over other threads: this is part of every restore.
  const create = (): void => closeSync(openSync(path, "wx", 0o600));
  try {
    create();
  } catch {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    create();
  }
  return { [Symbol.asyncDispose]: () => rm(path, { force: true }) };
}

/** The snapshots that living processes use. Leases of the dead are removed. */
export async function leasedSnapshots(home: Home): Promise<Set<SnapshotId>> {
  const leased = new Set<SnapshotId>();
  for (const name of await readdir(leasesFolder(home)).catch(() => [])) {
    const [, id, text] = /^([0-9a-f]{64})\.(.+)\.[0-9a-f]{12}$/.exec(name) ?? [];
    const owner = text === undefined ? undefined : parseIdentity(text);
    if (id === undefined || owner === undefined) continue;
    const path = join(leasesFolder(home), name);
    if (await isAbandoned(path, owner)) await rm(path, { force: true });
    else leased.add(id);
  }
  return leased;
}
