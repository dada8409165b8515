import type { EngineExit, EngineMachine } from "../engine/engine.ts";
import type { GuestSession } from "./guest-session.ts";
import { signalName } from "./guest-signals.ts";
import { panicLine, within } from "./machine-end.ts";
import type { RecordKeeper } from "./record-keeper.ts";
import type { MachineExit } from "./types.ts";

const defaultTimeoutMs = 10_000;

interface StopParts {
  readonly guest: EngineMachine;
  readonly session: GuestSession;
  readonly keeper: RecordKeeper;
}

/** The end of one machine: the orderly way to it, the short one, and what it is called afterwards. */
export class MachineStop {
  readonly #parts: StopParts;
  /** Why the machine ends, by whoever was first to want it to. */
  #intent: "stopped" | "killed" | "command" | undefined;
  #stopping: Promise<void> | undefined;

  constructor(parts: StopParts) {
    this.#parts = parts;
  }

  /** First the main command, then the guest; what is not gone in time is ended by force. Whoever asks first says why. */
  async stop(intent: "stopped" | "command", timeoutMs: number = defaultTimeoutMs): Promise<void> {
    this.#intent ??= intent;
    this.#stopping ??= this.#stopOrderly(timeoutMs);
    await this.#stopping;
  }

  async kill(): Promise<void> {
    this.#intent = "killed";
    await this.#parts.guest.kill();
  }

  /** How the machine has ended, when its engine has seen that it did. */
  exitOf(exit: EngineExit): MachineExit {
    const main = this.#parts.session.mainExit;
    const outcome = {
      ...(main?.exitCode === undefined ? {} : { exitCode: main.exitCode }),
      ...(main?.signal === undefined ? {} : { signal: signalName(main.signal) }),
      ...(main?.outOfMemory === true ? { outOfMemory: true } : {}),
    };
    if (exit.kind === "panic")
      return { reason: "panic", detail: panicLine(exit.console), console: exit.console };
    if (this.#intent !== undefined) return { reason: this.#intent, ...outcome };
    if (exit.kind === "failed") return { reason: "failed", detail: exit.detail, console: exit.console };
    return { reason: exit.kind, ...outcome };
  }

  async #stopOrderly(timeoutMs: number): Promise<void> {
    const { guest, session, keeper } = this.#parts;
    const deadline = Date.now() + timeoutMs;
    const left = () => Math.max(0, deadline - Date.now());
    keeper.update({ state: "stopping" });
    await session.stopMain(left());
    const asked = session.hub?.agent.shutdown().catch(() => {});
    if ((await within(Promise.all([guest.exited, asked]), left())) !== undefined) return;
    if (this.#intent === "stopped") this.#intent = "killed";
    await guest.kill();
  }
}
