import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Home } from "../../storage/home.ts";
import { createTemporary } from "../../storage/temporary.ts";
import { encodeWorkingSet, parseWorkingSet, type WorkingSet } from "../working-set.ts";
import type { OpenedSnapshot } from "./open-snapshot.ts";
import { readWhole, workingSetName } from "./snapshot-files.ts";

/** Two page maps of a memory of 64 GiB. */
const maxLength = 5 * 2 ** 20;

/** What was found out about a snapshot's guest; undefined when nothing was, or when the file is of no use. */
export function readWorkingSet({ directory, manifest }: OpenedSnapshot): WorkingSet | undefined {
  try {
    return parseWorkingSet(readWhole(directory, workingSetName, maxLength), manifest.memory.length);
  } catch {
    // Missing or damaged: it is found out again.
    return undefined;
  }
}

/** Puts it beside the snapshot's other files. It is no part of the snapshot, whose id stays. Throws what the system refuses. */
export function writeWorkingSet(home: Home, { directory }: OpenedSnapshot, workingSet: WorkingSet): void {
  using temporary = createTemporary(home, "working-set");
  writeFileSync(temporary.path, encodeWorkingSet(workingSet), { flag: "wx", mode: 0o600 });
  renameSync(temporary.path, join(directory, workingSetName));
}
