import type { EngineMachine } from "../engine/engine.ts";
import { identifyProcess } from "../storage/process-identity.ts";
import { ended, type MachineRecord, withInfo } from "./machine-record.ts";
import type { MachineRegistry } from "./machine-registry.ts";
import type { MachineExit, MachineInfo, PhaseTiming } from "./types.ts";

/** The record of a machine as its monitor knows it, written down whenever others should know of a change. */
export class RecordKeeper {
  readonly #registry: MachineRegistry;
  #record: MachineRecord;

  constructor(record: MachineRecord, registry: MachineRegistry) {
    this.#record = record;
    this.#registry = registry;
  }

  get record(): MachineRecord {
    return this.#record;
  }

  get info(): MachineInfo {
    return this.#record.info;
  }

  /** Returns the time, where the next phase starts. It is written with the next change. */
  addTiming(phase: PhaseTiming["phase"], startedAt: number, parts?: PhaseTiming["parts"]): number {
    const now = performance.now();
    const timing = { phase, ms: now - startedAt, ...(parts === undefined ? {} : { parts }) };
    this.#record = withInfo(this.#record, { timings: [...this.info.timings, timing] });
    return now;
  }

  /** The guest's process and this one, for whoever finds the record without us. */
  addProcesses(guest: EngineMachine): void {
    const owner = identifyProcess();
    const other = guest.pid === process.pid ? undefined : identifyProcess(guest.pid);
    this.#record = { ...this.#record, owner, ...(other === undefined ? {} : { guest: other }) };
    const { vsockSocket } = guest;
    this.update({
      pid: process.pid,
      ...(other === undefined ? {} : { enginePid: other.pid }),
      ...(vsockSocket === undefined ? {} : { vsockSocket }),
    });
  }

  update(changes: Partial<MachineInfo>): void {
    // How it ended is the last word.
    if (this.info.exit !== undefined) return;
    this.#record = withInfo(this.#record, changes);
    this.#save();
  }

  end(exit: MachineExit): void {
    this.#record = ended(this.#record, exit);
    this.#save();
  }

  #save(): void {
    try {
      this.#registry.write(this.#record);
    } catch {
      // Its folder may be gone: removed by force, or by hand.
    }
  }
}
