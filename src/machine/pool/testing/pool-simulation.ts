import { SupermachineError } from "../../../errors/supermachine-error.ts";
import { settled } from "../../testing/fake-clock.ts";
import type { Lease, ReleaseAction } from "../lease.ts";
import { PoolCore } from "../pool-core.ts";
import { type FakeMachine, FakeMachines } from "./fake-machines.ts";

export interface SimulationOptions {
  readonly seed: number;
  readonly min: number;
  readonly max: number;
  readonly onRelease: ReleaseAction;
  /** Simultaneous starts. */
  readonly starts: number;
  /** How many machines the host's memory holds. */
  readonly roomFor: number;
  /** Users at work at the same time. */
  readonly clients: number;
  /** Acquisitions in all, those that fail included. */
  readonly cycles: number;
  /** 0 to 1: how often each thing that can go wrong does. */
  readonly trouble: number;
}

export interface SimulationResult {
  /** Rules that were broken; there should be none. */
  readonly broken: readonly string[];
  readonly served: number;
  /** How often waiting ended with which error code. */
  readonly refused: Readonly<Record<string, number>>;
  readonly machines: FakeMachines;
  readonly pool: PoolCore<FakeMachine>;
}

const memoryMiB = 256;

/**
 * Users who acquire, use and release machines of which everything goes wrong now and then, on a clock that is turned by
 * hand. The same options always give the same run. Ends with the pool closed.
 */
export async function simulatePool(options: SimulationOptions): Promise<SimulationResult> {
  const random = randomNumbers(options.seed);
  const run = new Simulation(options, random);
  await run.toItsEnd();
  return run;
}

class Simulation implements SimulationResult {
  readonly broken: string[] = [];
  readonly refused: Record<string, number> = {};
  readonly machines: FakeMachines;
  readonly pool: PoolCore<FakeMachine>;
  served = 0;
  readonly #options: SimulationOptions;
  readonly #random: () => number;
  #cyclesLeft: number;
  #clientsLeft: number;
  #calls = 0;
  #lastServed = 0;
  #calm = false;

  constructor(options: SimulationOptions, random: () => number) {
    this.#options = options;
    this.#random = random;
    this.#cyclesLeft = options.cycles;
    this.#clientsLeft = options.clients;
    const trouble = async (longestMs: number) => {
      if (this.#happens(0.7)) await this.#sleep(longestMs);
      if (this.#troubled()) throw new SupermachineError("BOOT_FAILED", "Random trouble");
    };
    this.machines = new FakeMachines(
      {
        create: () => trouble(3_000),
        check: () => trouble(20),
        reset: () => trouble(200),
        destroy: () => trouble(100),
      },
      { starts: options.starts, memoryMiB: options.roomFor * memoryMiB, random },
    );
    const { min, max, onRelease } = options;
    this.pool = new PoolCore(
      { min, max, onRelease, memoryMiB, idleTimeoutMs: 10_000, acquireTimeoutMs: 60_000 },
      this.machines,
    );
  }

  async toItsEnd(): Promise<void> {
    for (let client = 0; client < this.#options.clients; client++) void this.#client();
    for (let step = 0; this.#clientsLeft > 0; step++) {
      if (step > 100_000) return void this.broken.push("the clients did not come to an end");
      await this.machines.clock.advance(Math.ceil(this.#random() * 300));
      this.#checkBounds();
      if (this.#troubled()) await this.#killSomething();
    }
    await this.#expectRecovery();
    await this.#close();
  }

  async #client(): Promise<void> {
    while (this.#cyclesLeft-- > 0) {
      const call = ++this.#calls;
      const lease = await this.#acquire();
      if (lease === undefined) continue;
      this.#received(lease.machine, call);
      await this.#sleep(500);
      const action = this.#happens(0.2)
        ? pick(this.#random, ["reset", "keep", "discard"] as const)
        : undefined;
      if (action === "keep") lease.machine.used = false;
      await lease.release(action);
      if (this.#happens(0.1)) await lease.release();
    }
    this.#clientsLeft--;
  }

  async #acquire(): Promise<Lease<FakeMachine> | undefined> {
    const abort = new AbortController();
    if (this.#troubled()) this.machines.clock.timer(this.#random() * 2_000, () => abort.abort());
    const timeoutMs = this.#troubled() ? this.#random() * 1_000 : 60_000;
    try {
      return await this.pool.acquire({ signal: abort.signal, timeoutMs });
    } catch (error) {
      const code = error instanceof SupermachineError ? error.code : String(error);
      this.refused[code] = (this.refused[code] ?? 0) + 1;
      // Nobody asks again within the same moment for ever.
      await this.#sleep(100);
      return undefined;
    }
  }

  #received(machine: FakeMachine, call: number): void {
    this.served++;
    if (call < this.#lastServed) this.broken.push(`call ${call} was served after ${this.#lastServed}`);
    this.#lastServed = Math.max(this.#lastServed, call);
    if (machine.dead) this.broken.push(`machine ${machine.number} was handed out dead`);
    if (machine.used && this.#options.onRelease !== "keep")
      this.broken.push(`machine ${machine.number} was handed out used`);
    machine.used = true;
  }

  #checkBounds(): void {
    const { alive, memory, mostAlive, mostStarting, lent } = this.machines;
    const { max, starts, roomFor } = this.#options;
    const { idle, leased, starting, resetting, ending, waiting } = this.pool.stats();
    const expect = (isTrue: boolean, rule: string) => {
      if (!isTrue) this.broken.push(`${rule}: ${JSON.stringify(this.pool.stats())}, ${alive} alive`);
    };
    expect(mostAlive <= Math.min(max, roomFor), "never more machines than may be");
    expect(mostStarting <= starts, "never more starts than may be");
    expect(memory.held <= memory.limit && memory.held >= alive * memoryMiB, "every machine has its memory");
    expect(idle + leased + starting + resetting + ending <= max, "nothing is counted twice");
    expect(leased === lent.size, "every leased machine is lent once");
    expect(
      waiting === 0 || leased + starting + resetting + ending > 0,
      "nobody waits while nothing is under way",
    );
    expect(
      waiting <= resetting || idle === 0,
      "nobody waits while a machine is idle, unless for one that is asked whether it answers",
    );
  }

  async #killSomething(): Promise<void> {
    const living = this.machines.living;
    if (living.length > 0) pick(this.#random, living).die();
    await settled();
  }

  /** When nothing goes wrong any more, the pool gets back to what it should be, and stays there. */
  async #expectRecovery(): Promise<void> {
    this.#calm = true;
    await this.machines.clock.advance(120_000);
    const { idle, waiting, leased, starting, ending } = this.pool.stats();
    const expected = Math.min(this.#options.min, this.#options.roomFor);
    const queued = this.#options.min - expected;
    if (idle !== expected || waiting + leased + ending > 0 || starting !== queued)
      this.broken.push(`it did not recover: ${JSON.stringify(this.pool.stats())}`);
  }

  async #close(): Promise<void> {
    const closed = this.pool.close().then(
      () => {},
      (error: unknown) => error,
    );
    await this.machines.clock.advance(60_000);
    await closed;
    const { alive, made, memory, starts, clock, lent } = this.machines;
    if (made.some(({ destroyed }) => !destroyed) || alive > 0) this.broken.push("a machine was left over");
    if (memory.held + starts.held + memory.waiting + starts.waiting > 0)
      this.broken.push("a gate is still held");
    if (clock.pending > 0) this.broken.push("a timer was left over");
    if (lent.size > 0) this.broken.push("a lease was left over");
    const { created, destroyed } = this.pool.stats();
    if (created !== made.length || destroyed !== made.length) this.broken.push("the counts are wrong");
  }

  #happens(probability: number): boolean {
    return this.#random() < probability;
  }

  #troubled(): boolean {
    return !this.#calm && this.#happens(this.#options.trouble);
  }

  #sleep(longestMs: number): Promise<void> {
    return new Promise((resolve) => void this.machines.clock.timer(this.#random() * longestMs, resolve));
  }
}

function pick<Value>(random: () => number, from: readonly Value[]): Value {
  return from[Math.floor(random() * from.length)] as Value;
}

/** Repeatable random numbers from 0 to 1 (a linear congruential generator with Knuth's MMIX constants). */
function randomNumbers(seed: number): () => number {
  let state = BigInt(seed);
  return () => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return Number(state >> 32n) / 2 ** 32;
  };
}
