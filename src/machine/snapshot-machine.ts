import { SupermachineError } from "../errors/supermachine-error.ts";
import { SnapshotStore } from "../snapshot/host/snapshot-store.ts";
import { Home } from "../storage/home.ts";
import type { CreationParts } from "./creation-parts.ts";
import type { MachineLink } from "./machine-link.ts";
import { sharedForkGate } from "./pool/host-limits.ts";
import { restoreMachine } from "./restore-machine.ts";
import { inspectIn } from "./snapshot.ts";
import type { ForkOptions, RestoreOptions, SnapshotInfo, SnapshotOptions } from "./types.ts";

/** More would only wait for one another. */
const maxForks = 256;

/** `Machine.snapshot`. */
export async function snapshotMachine(
  link: MachineLink,
  name: string | undefined,
  { labels = {}, replace = false }: SnapshotOptions,
): Promise<SnapshotInfo> {
  const store = new SnapshotStore(new Home(link.home));
  // Before the work: the likeliest mistake.
  if (name !== undefined && !replace) await store.checkName(name);
  const id = await link.snapshot({ kind: "snapshot", labels });
  if (name !== undefined) await store.name(id, name, { replace });
  return await inspectIn(store, id);
}

/** `Machine.fork`. */
export async function forkMachine(
  link: MachineLink,
  { count, names, detached }: ForkOptions & { readonly count: number },
  parts: CreationParts,
): Promise<MachineLink[]> {
  checkFork(count, names);
  const { network, reclaimAfterMs } = await link.info();
  const store = new SnapshotStore(new Home(link.home));
  const snapshot = await link.snapshot({ kind: "fork", labels: {} });
  const options: RestoreOptions = {
    snapshot,
    home: link.home,
    network,
    detached,
    reclaimAfterMs: reclaimAfterMs ?? false,
  };
  const started = await keeping(store, snapshot, () =>
    Promise.allSettled(
      Array.from({ length: count }, (_, index) =>
        admitted(() => restoreMachine({ ...options, name: names?.[index] }, parts)),
      ),
    ),
  );
  const failed = started.find((result) => result.status === "rejected");
  const copies = started.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  if (failed === undefined) return copies;
  for (const copy of copies) {
    await copy.kill();
    await copy.remove();
  }
  throw failed.reason;
}

function checkFork(count: number, names: readonly string[] | undefined): void {
  if (!Number.isInteger(count) || count < 1 || count > maxForks)
    throw new SupermachineError("INVALID_ARGUMENT", `A machine cannot be forked ${count} times`, {
      hint: `Ask for 1 to ${maxForks} copies`,
    });
  if (names !== undefined && names.length !== count)
    throw new SupermachineError("INVALID_ARGUMENT", `${names.length} names do not fit ${count} copies`, {
      hint: "Give each copy a name, or none",
    });
}

/** Keeps a snapshot until all copies have started: the first may have ended by then, and would take it with it. */
async function keeping<Value>(
  store: SnapshotStore,
  snapshot: string,
  work: () => Promise<Value>,
): Promise<Value> {
  try {
    await using _ = await store.use(snapshot);
    return await work();
  } finally {
    // It goes with its last copy; here when none is left. A copy that runs keeps it.
    await store.remove(snapshot).catch(() => undefined);
  }
}

/** As many starts at once as this host does fastest. */
async function admitted<Value>(start: () => Promise<Value>): Promise<Value> {
  const ticket = sharedForkGate().request(1);
  await ticket.settled;
  try {
    return await start();
  } finally {
    ticket.release();
  }
}
