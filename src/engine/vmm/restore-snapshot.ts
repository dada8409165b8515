import { checkFits } from "../../snapshot/check-fits.ts";
import type { OpenedSnapshot } from "../../snapshot/host/open-snapshot.ts";
import { type SnapshotLease, SnapshotStore } from "../../snapshot/host/snapshot-store.ts";
import { readWorkingSet } from "../../snapshot/host/working-set-file.ts";
import { kindOf } from "../../snapshot/labels.ts";
import type { SnapshotId } from "../../snapshot/manifest.ts";
import { mismatchedSnapshot } from "../../snapshot/snapshot-error.ts";
import { Home } from "../../storage/home.ts";
import type { DescriptorWatch } from "../../sys/linux/descriptor-watch.ts";
import type { EngineConfig } from "../engine.ts";
import type { PhaseClock } from "../phase-clock.ts";
import { VmmMachine } from "./machine.ts";
import { loadMachineState, type MachineState } from "./machine-state.ts";
import { thisHost } from "./this-host.ts";

/**
 * The snapshot that a configuration names, found whole and fit for this host.
 *
 * @throws SupermachineError `SNAPSHOT_MISMATCH` and others.
 */
export async function useSnapshot(config: EngineConfig, id: SnapshotId): Promise<SnapshotLease> {
  const store = new SnapshotStore(new Home(config.home));
  const lease = await store.use(id);
  const reason = checkFits(lease.snapshot.manifest, thisHost(config));
  if (reason === undefined) return lease;
  await lease[Symbol.asyncDispose]();
  throw mismatchedSnapshot(reason);
}

/** A machine that goes on from a snapshot, which stays leased until the machine has ended. */
export async function restoreSnapshot(
  config: EngineConfig,
  { watch, lease, clock }: { watch: DescriptorWatch; lease: SnapshotLease; clock: PhaseClock },
): Promise<VmmMachine> {
  try {
    const { snapshot } = lease;
    const origin = config.origin.kind === "snapshot" ? "snapshot" : "template";
    const source = {
      // A template is made when the agent's only connection has ended.
      wasConnected: origin === "snapshot",
      state: stateOf(snapshot),
      memory: snapshot.memory,
      // Copies that are made at once go with the last of them: nobody would come after.
      workingSet: readWorkingSet(snapshot) ?? (kindOf(snapshot.manifest) === "fork" ? undefined : "sought"),
      snapshot,
      origin,
    } as const;
    clock.mark("read state");
    const machine = VmmMachine.restore(config, watch, source, clock);
    machine.exited.then(() => letGo(config, lease)).catch(() => {});
    return machine;
  } catch (error) {
    await lease[Symbol.asyncDispose]();
    throw error;
  }
}

/** Of snapshots that are kept open, for the next machine that goes on from them. */
const states: WeakMap<OpenedSnapshot, MachineState> = new WeakMap();

function stateOf(snapshot: OpenedSnapshot): MachineState {
  const known = states.get(snapshot);
  if (known !== undefined) return known;
  const { cpus, slots } = snapshot.manifest.machine;
  // What was added by whoever asked for the snapshot is not ours.
  const components = snapshot.components.filter(({ id }) => !id.startsWith("machine"));
  const state = loadMachineState(components, { cpus, slots: slots.length });
  states.set(snapshot, state);
  return state;
}

/** What was made for copies goes with the last of them: the others still use it. */
async function letGo({ home }: EngineConfig, lease: SnapshotLease): Promise<void> {
  await lease[Symbol.asyncDispose]();
  const { id, manifest } = lease.snapshot;
  if (kindOf(manifest) === "fork") await new SnapshotStore(new Home(home)).remove(id);
}
