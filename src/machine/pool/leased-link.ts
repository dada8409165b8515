import type { Agent } from "../../agent/requests.ts";
import type { GuestDefaults } from "../guest-command.ts";
import type { MachineLink } from "../machine-link.ts";
import type { CaptureOptions } from "../monitor-job.ts";
import type { LogEntry, LogOptions, MachineExit, MachineInfo, PhaseTiming, StopOptions } from "../types.ts";
import { leaseEnded } from "./lease-ended.ts";

/**
 * A machine as its lessee has it: the same as through the link underneath, until the lease ends. Afterwards nothing
 * reaches the machine through it, because the machine may be in other hands by then.
 */
export class LeasedLink implements MachineLink {
  /** Disposing of it lets go; the machine is the pool's to end. */
  readonly owned = false;
  readonly #link: MachineLink;
  #revoked = false;

  constructor(link: MachineLink) {
    this.#link = link;
  }

  revoke(): void {
    this.#revoked = true;
  }

  get id(): string {
    return this.#link.id;
  }

  get name(): string {
    return this.#link.name;
  }

  get home(): string {
    return this.#link.home;
  }

  get defaults(): GuestDefaults {
    return this.#link.defaults;
  }

  get timings(): PhaseTiming[] {
    return this.#link.timings;
  }

  agent(): Agent {
    return this.#lent().agent();
  }

  answered(): void {
    this.#link.answered();
  }

  explain(error: unknown): Promise<Error> {
    return this.#link.explain(error);
  }

  async info(): Promise<MachineInfo> {
    return this.#lent().info();
  }

  async exits(): Promise<Readonly<Record<string, number>> | undefined> {
    return this.#lent().exits();
  }

  async wait(options: { signal?: AbortSignal | undefined } = {}): Promise<MachineExit> {
    return this.#lent().wait(options);
  }

  async stop(options: StopOptions): Promise<MachineExit> {
    return this.#lent().stop(options);
  }

  async kill(): Promise<MachineExit> {
    return this.#lent().kill();
  }

  async signal(number: number): Promise<void> {
    await this.#lent().signal(number);
  }

  async reset(): Promise<void> {
    await this.#lent().reset();
  }

  async snapshot(options: CaptureOptions): Promise<string> {
    return this.#lent().snapshot(options);
  }

  async limitMemory(limitMiB: number): Promise<number> {
    return this.#lent().limitMemory(limitMiB);
  }

  logs(options: LogOptions): AsyncIterable<LogEntry> {
    return this.#lent().logs(options);
  }

  async remove(): Promise<void> {
    await this.#lent().remove();
  }

  close(): void {}

  #lent(): MachineLink {
    if (this.#revoked) throw leaseEnded();
    return this.#link;
  }
}
