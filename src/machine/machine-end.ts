import type { EngineExit } from "../engine/engine.ts";
import type { ErrorCode } from "../errors/codes.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import type { MachineExit, MachineInfo } from "./types.ts";

/** A guest that has lost its agent is mostly about to be reported as panicked or gone. */
const lostAgentGraceMs = 3_000;

/** The error for whoever was using a machine when it ended, or uses it afterwards. */
export function exitError(name: string, exit: MachineExit, cause?: unknown): SupermachineError {
  const data = { ...exit };
  if (exit.reason === "panic")
    return new SupermachineError(
      "GUEST_PANIC",
      `The guest kernel of machine '${name}' panicked${panicCause(exit)}`,
      {
        hint: "The console's last lines belong to this error; more memory often helps",
        data,
        cause,
      },
    );
  return new SupermachineError("MACHINE_EXITED", `The machine '${name}' has ended: ${describeExit(exit)}`, {
    data,
    cause,
  });
}

/** The error for a machine that takes no commands (any more). */
export function notRunning({ name, state, exit }: MachineInfo): SupermachineError {
  const why = exit === undefined ? `it is ${state}` : describeExit(exit);
  return new SupermachineError("MACHINE_NOT_RUNNING", `The machine '${name}' is not running: ${why}`, {
    data: { ...exit },
  });
}

/** The error for what a machine's engine has no means for. */
export function engineCannot({ name, engine }: MachineInfo, verb: string): SupermachineError {
  return new SupermachineError("UNSUPPORTED", `The engine '${engine}' cannot ${verb} the machine '${name}'`, {
    hint: "Use the engine 'vmm'",
  });
}

/** The error for a machine that ended before its agent answered. */
export function bootError(exit: EngineExit): SupermachineError {
  if (exit.kind === "panic")
    return new SupermachineError("GUEST_PANIC", "The guest kernel panicked while it started", {
      hint: "See the console lines in the error's data",
      data: { console: exit.console, detail: panicLine(exit.console) },
    });
  const detail =
    exit.kind === "failed" ? exit.detail : exit.kind === "killed" ? "it was killed" : "it powered off";
  return new SupermachineError("BOOT_FAILED", `The machine ended while it started: ${detail}`, {
    hint: "Run 'supermachine doctor'",
    data: exit.kind === "failed" ? { console: exit.console } : {},
  });
}

/** How a machine ended, in a few words for people. */
export function describeExit(exit: MachineExit): string {
  if (exit.reason === "command" || exit.exitCode !== undefined || exit.signal !== undefined)
    return exit.signal === undefined
      ? `its command exited with ${exit.exitCode}`
      : `its command was ended by ${exit.signal}`;
  const words = {
    stopped: "it was stopped",
    killed: "it was killed",
    "powered-off": "the guest powered itself off",
    panic: "the guest kernel panicked",
    failed: "its engine failed",
    crashed: "its monitor process is gone",
  };
  return exit.detail === undefined ? words[exit.reason] : `${words[exit.reason]} (${exit.detail})`;
}

/** "Kernel panic - not syncing: ..." from the console; the last line when there is none. */
export function panicLine(console: readonly string[]): string {
  const line = console.find((text) => text.includes("Kernel panic")) ?? console.at(-1) ?? "no console output";
  return line.replace(/^\[[ 0-9.]+\] /, "").slice(0, 300);
}

/** What the kernel itself says about its panic, as the end of a sentence. */
function panicCause({ detail }: MachineExit): string {
  const cause = /Kernel panic - not syncing: (.*)/.exec(detail ?? "")?.[1];
  return cause === undefined ? "" : `: ${cause}`;
}

/** The guest's end, where that is why an agent's request failed. */
export async function endBehind(
  error: unknown,
  exited: Promise<EngineExit>,
): Promise<EngineExit | undefined> {
  // At the machine's end we close the connection ourselves, if it is still there: then the end is known already.
  const wasClosed = error instanceof SupermachineError && error.code === "ABORTED";
  if (!wasClosed && !isConnectionLoss(error)) return undefined;
  return await within(exited, wasClosed ? 0 : lostAgentGraceMs);
}

/** True for failures of the connection to the agent itself, whose reason is to be looked for elsewhere. */
export function isConnectionLoss(error: unknown): boolean {
  const codes: readonly ErrorCode[] = ["MACHINE_EXITED", "AGENT_PROTOCOL"];
  return error instanceof SupermachineError && codes.includes(error.code);
}

/** The value, or undefined when it takes longer. Does not keep the process alive by itself. */
export async function within<Value>(promise: Promise<Value>, ms: number): Promise<Value | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
