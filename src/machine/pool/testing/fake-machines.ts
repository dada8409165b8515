import { type Deferred, deferred } from "../../../streams/deferred.ts";
import { FakeClock } from "../../testing/fake-clock.ts";
import { AdmissionGate } from "../admission-gate.ts";
import type { PoolParts } from "../pool-parts.ts";

/** A machine without a guest. */
export class FakeMachine {
  readonly number: number;
  readonly ended: Deferred<string> = deferred<string>();
  destroyed = false;
  /** What lessees have done in it. */
  used = false;

  constructor(number: number) {
    this.number = number;
  }

  dead = false;

  die(how = "the guest kernel panicked"): void {
    this.dead = true;
    this.ended.resolve(how);
  }
}

/** What happens when a machine is asked for something. A promise takes its time; a throw is a failure. */
export interface FakeBehaviour {
  create?: (signal: AbortSignal) => Promise<void> | void;
  check?: (machine: FakeMachine) => Promise<void> | void;
  reset?: ((machine: FakeMachine) => Promise<void> | void) | "unsupported";
  destroy?: (machine: FakeMachine) => Promise<void> | void;
}

/** Parts for a pool of fake machines, which remembers every machine and notices when a rule is broken. */
export class FakeMachines implements PoolParts<FakeMachine> {
  readonly clock: FakeClock = new FakeClock();
  readonly starts: AdmissionGate;
  readonly memory: AdmissionGate;
  readonly made: FakeMachine[] = [];
  readonly behaviour: FakeBehaviour;
  readonly random: () => number;
  /** Machines that exist or are being made. */
  alive = 0;
  mostAlive = 0;
  starting = 0;
  mostStarting = 0;
  /** Attempts to create a machine. */
  attempts = 0;
  /** Machines lent to somebody now. */
  readonly lent: Set<FakeMachine> = new Set();

  constructor(
    behaviour: FakeBehaviour = {},
    options: { starts?: number; memoryMiB?: number; random?: () => number } = {},
  ) {
    this.behaviour = behaviour;
    this.starts = new AdmissionGate(options.starts ?? Number.POSITIVE_INFINITY);
    this.memory = new AdmissionGate(options.memoryMiB ?? Number.POSITIVE_INFINITY);
    this.random = options.random ?? (() => 1);
  }

  /** Those that have not been destroyed. */
  get living(): FakeMachine[] {
    return this.made.filter(({ destroyed }) => !destroyed);
  }

  async create(signal: AbortSignal): Promise<FakeMachine> {
    this.attempts++;
    this.mostAlive = Math.max(this.mostAlive, ++this.alive);
    this.mostStarting = Math.max(this.mostStarting, ++this.starting);
    try {
      await this.behaviour.create?.(signal);
    } catch (error) {
      this.alive--;
      throw error;
    } finally {
      this.starting--;
    }
    const machine = new FakeMachine(this.made.length + 1);
    this.made.push(machine);
    return machine;
  }

  ended(machine: FakeMachine): Promise<string> {
    return machine.ended.promise;
  }

  async check(machine: FakeMachine): Promise<void> {
    await this.behaviour.check?.(machine);
  }

  async reset(machine: FakeMachine): Promise<boolean> {
    const { reset } = this.behaviour;
    if (reset === "unsupported") return false;
    await reset?.(machine);
    machine.used = false;
    return true;
  }

  async destroy(machine: FakeMachine): Promise<void> {
    if (machine.destroyed) throw new Error(`Machine ${machine.number} was destroyed twice`);
    try {
      await this.behaviour.destroy?.(machine);
    } finally {
      machine.destroyed = true;
      this.alive--;
      machine.die("it was killed");
    }
  }

  lend(machine: FakeMachine): { machine: FakeMachine; revoke(): void } {
    if (this.lent.has(machine)) throw new Error(`Machine ${machine.number} was lent twice`);
    if (machine.destroyed) throw new Error(`Machine ${machine.number} was lent after its end`);
    this.lent.add(machine);
    return { machine, revoke: () => void this.lent.delete(machine) };
  }
}
