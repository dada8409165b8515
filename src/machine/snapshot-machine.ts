import { SupermachineError } from "../errors/supermachine-error.ts";
import { SnapshotStore } from "../snapshot/host/snapshot-store.ts";
import { Home } from "../storage/home.ts";
import type { CreationParts } from "./creation-parts.ts";
import type { MachineLink } from "./machine-link.ts";
import { restoreMachine } from "./restore-machine.ts";
import { inspectIn } from "./snapshot.ts";
import type { SnapshotInfo, SnapshotOptions } from "./types.ts";

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
  count: number,
  parts: CreationParts,
): Promise<MachineLink[]> {
  if (!Number.isInteger(count) || count < 1 || count > maxForks)
    throw new SupermachineError("INVALID_ARGUMENT", `A machine cannot be forked ${count} times`, {
      hint: `Ask for 1 to ${maxForks} copies`,
    });
  const { network } = await link.info();
  const snapshot = await link.snapshot({ kind: "fork", labels: {} });
  const options = { snapshot, home: link.home, network };
  const started = await Promise.allSettled(
    Array.from({ length: count }, () => restoreMachine(options, parts)),
  );
  const failed = started.find((result) => result.status === "rejected");
  const copies = started.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  if (failed === undefined) return copies;
  for (const copy of copies) {
    await copy.kill();
    await copy.remove();
  }
  // It goes with its last copy; without any, it has to be removed.
  await new SnapshotStore(new Home(link.home)).remove(snapshot).catch(() => undefined);
  throw failed.reason;
}
