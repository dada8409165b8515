import type { EngineSupport } from "../engine/engine.ts";
import type { EngineName, LookupOptions } from "./types.ts";

/** One thing that was looked at. */
export interface DoctorCheck {
  /** "node", "engine", "kvm", "kernel", "agent", "home" ... */
  readonly name: string;
  /** "warning": works, with a drawback that `detail` names. */
  readonly status: "ok" | "warning" | "failed";
  /** What was found, in one line. */
  readonly detail: string;
  /** What to do about it. */
  readonly remedy?: string;
}

/** What `doctor` found. */
export interface Diagnosis {
  /** True when machines can be started here. */
  readonly ok: boolean;
  /** The engine that "auto" takes, and why. */
  readonly engine?: {
    readonly name: EngineName;
    readonly accelerator: string | undefined;
    readonly why: string;
  };
  readonly engines: readonly ({ readonly name: EngineName } & EngineSupport)[];
  readonly checks: readonly DoctorCheck[];
}

/**
 * Looks at everything a machine needs, and says what is missing and what to do about it. Never rejects because
 * something is missing.
 *
 * @example
 * ```ts
 * import { doctor } from "supermachine";
 *
 * const { ok, checks } = await doctor();
 * for (const { name, status, detail } of checks) console.log(status, name, detail);
 * console.log(ok);
 * ```
 */
export async function doctor(_options: LookupOptions = {}): Promise<Diagnosis> {
  throw new Error("to come");
}
