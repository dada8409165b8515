import { setTimeout as delay } from "node:timers/promises";
import type { EngineMachine } from "../engine/engine.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { engineCannot } from "./machine-end.ts";
import type { MachineInfo } from "./types.ts";

/** A guest that needs its memory never gives all that is asked for: when nothing has come for so long, it is at its end. */
const patienceMs = 3_000;
const pollMs = 20;

/** Leaves a running guest at most this much memory; resolves with what it has left when it has given up what it can. */
export async function limitGuestMemory(
  guest: EngineMachine,
  info: MachineInfo,
  limitMiB: number,
): Promise<number> {
  const { name, memoryMiB } = info;
  if (guest.requestMemory === undefined || guest.givenMemory === undefined)
    throw engineCannot(info, "limit the memory of");
  if (limitMiB > memoryMiB)
    throw new SupermachineError("INVALID_ARGUMENT", `The machine '${name}' has ${memoryMiB} MiB of memory`, {
      hint: "Its memory can be limited, but not grow beyond what it was made with",
    });
  const wanted = memoryMiB - limitMiB;
  guest.requestMemory(wanted);
  let hasEnded = false;
  void guest.exited.then(() => {
    hasEnded = true;
  });
  // The guest gives page by page, and stops where it needs the memory itself.
  let given = guest.givenMemory();
  let deadline = Date.now() + patienceMs;
  while (given !== wanted && Date.now() < deadline && !hasEnded) {
    await delay(pollMs);
    const now = guest.givenMemory();
    if (now !== given) deadline = Date.now() + patienceMs;
    given = now;
  }
  return memoryMiB - given;
}
