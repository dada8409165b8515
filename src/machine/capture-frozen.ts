import type { Agent } from "../agent/requests.ts";
import type { EngineMachine } from "../engine/engine.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { IMAGE_LABEL, KIND_LABEL, ROOTFS_LABEL } from "../snapshot/labels.ts";
import { type SavedComponent, saveComponent } from "../snapshot/state-codec.ts";
import type { CaptureOptions } from "./monitor-job.ts";
import { type SavedMachine, savedMachineCodec } from "./saved-machine.ts";

/** The kernel freezes what it can reach in milliseconds; a process in the middle of a long system call takes its time. */
const freezeTimeoutMs = 10_000;

export interface FrozenMachine {
  readonly saved: Omit<SavedMachine, "main">;
  /** Its main command; asked when its processes are frozen, as none of them ends after that. */
  readonly main: () => Promise<SavedMachine["main"]>;
}

/**
 * Makes a snapshot of a machine whose processes are frozen right before it stands still, and thawed as soon as it goes on: in
 * a copy none of them runs before the copy has an identity of its own. Resolves with its id.
 */
export async function captureFrozen(
  { guest, agent }: { readonly guest: EngineMachine; readonly agent: Agent },
  { kind, labels, saved, main: mainOf }: CaptureOptions & FrozenMachine,
): Promise<string> {
  let isFrozen = false;
  let thawed: Promise<unknown> | undefined;
  const freeze = async (): Promise<SavedComponent[]> => {
    await agent.freeze({ timeoutMs: freezeTimeoutMs });
    isFrozen = true;
    const main = await mainOf();
    return [saveComponent(savedMachineCodec, { ...saved, ...(main && { main }) })];
  };
  const thaw = (): void => {
    if (isFrozen) thawed ??= agent.thaw().catch(() => undefined);
  };
  try {
    const own = { [KIND_LABEL]: kind, [IMAGE_LABEL]: saved.image, [ROOTFS_LABEL]: saved.rootfs };
    const id = await guest.capture?.({
      labels: { ...labels, ...own },
      durable: kind !== "fork",
      onPausing: freeze,
      onResumed: thaw,
    });
    if (id === undefined) throw new SupermachineError("UNSUPPORTED", "The engine makes no snapshots");
    return id;
  } finally {
    thaw();
    await thawed;
  }
}
