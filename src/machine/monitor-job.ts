import type { GuestKernel, MachineOrigin } from "../engine/engine.ts";
import type { SnapshotKind } from "../snapshot/labels.ts";
import type { MachineRecord } from "./machine-record.ts";
import type { SavedMachine } from "./saved-machine.ts";

/** Everything that is needed to start a machine whose image, kernel and record exist: plain data. */
export interface MonitorJob {
  readonly record: MachineRecord;
  readonly architecture: "x64" | "arm64";
  /** Path of the EROFS image. */
  readonly rootfs: string;
  readonly volumes: readonly string[];
  readonly kernel: GuestKernel;
  /** Root folder of the home. */
  readonly home: string;
  readonly origin: MachineOrigin;
  /** The main command of the machine that the snapshot was made of, which goes on. */
  readonly main?: SavedMachine["main"];
  readonly bootTimeoutMs: number;
}

/** What is asked of a monitor's `snapshot`. */
export interface CaptureOptions {
  /** "fork": for copies that are made at once, and not kept. */
  readonly kind: Exclude<SnapshotKind, "template">;
  readonly labels: Readonly<Record<string, string>>;
}
