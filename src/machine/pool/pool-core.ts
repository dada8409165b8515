import { type Deferred, deferred } from "../../streams/deferred.ts";
import { Backoff } from "./backoff.ts";
import { LatencyWindow } from "./latency-window.ts";
import { Lease, type ReleaseAction } from "./lease.ts";
import { acquireAborted, endedInPool, poolClosed, poolTimeout, tooSlow } from "./pool-errors.ts";
import { type MemberState, PoolMember } from "./pool-member.ts";
import type { PoolParts, PoolSettings } from "./pool-parts.ts";
import type { PoolStats } from "./pool-stats.ts";
import { WaiterQueue } from "./waiter-queue.ts";

/** A machine that answered this recently is handed out without asking it again. */
const freshMs = 5_000;
/** For one small request, even where guests run in software emulation. */
const checkTimeoutMs = 15_000;
const resetTimeoutMs = 30_000;
const endTimeoutMs = 30_000;

/**
 * The rules of a pool, over any kind of machine. Whatever happens (somebody waits, gives up or gives back; a machine
 * comes up, fails or dies; a timer fires) changes the state of one member or waiter, and then `#plan` looks at the
 * whole and does what follows from it. `#plan` is synchronous, so nothing can come between its looking and its doing.
 */
export class PoolCore<M extends object> {
  readonly #settings: PoolSettings;
  readonly #parts: PoolParts<M>;
  readonly #members = new Set<PoolMember<M>>();
  readonly #waiters: WaiterQueue<Lease<M>>;
  readonly #backoff: Backoff;
  readonly #latencies = new LatencyWindow();
  readonly #done: Deferred<void> = deferred<void>();
  #endFailure: Error | undefined;
  #phase: "open" | "draining" | "closed" = "open";
  #closeReason: unknown;
  #created = 0;
  #destroyed = 0;
  #resets = 0;
  #failures = 0;
  #lastFailure: Error | undefined;
  #cancelWakeUp: () => void = () => {};

  constructor(settings: PoolSettings, parts: PoolParts<M>) {
    this.#settings = settings;
    this.#parts = parts;
    this.#waiters = new WaiterQueue(parts.clock, () => this.#plan());
    this.#backoff = new Backoff(parts.random);
    this.#plan();
  }

  /** Settles when every machine has ended after `drain` or `close`. */
  get done(): Promise<void> {
    return this.#done.promise;
  }

  async acquire(
    options: { signal?: AbortSignal | undefined; timeoutMs?: number | undefined } = {},
  ): Promise<Lease<M>> {
    const { signal, timeoutMs = this.#settings.acquireTimeoutMs } = options;
    if (!(timeoutMs >= 0)) throw new RangeError(`A machine cannot be waited for ${timeoutMs} ms`);
    if (this.#phase !== "open") throw poolClosed(this.#closeReason);
    if (signal?.aborted === true) throw acquireAborted(signal.reason);
    const lease = this.#waiters.join({
      timeoutMs,
      signal,
      timedOut: () => poolTimeout(timeoutMs, this.stats()),
      aborted: acquireAborted,
    });
    this.#plan();
    return lease;
  }

  stats(): PoolStats {
    return {
      idle: this.#count("idle"),
      leased: this.#count("leased"),
      starting: this.#count("queued", "starting"),
      resetting: this.#count("resetting", "checking"),
      ending: this.#count("ending"),
      waiting: this.#waiters.length,
      created: this.#created,
      destroyed: this.#destroyed,
      resets: this.#resets,
      failures: this.#failures,
      lastFailure: this.#lastFailure,
      acquireMs: this.#latencies.percentiles(),
    };
  }

  /** Serves those who wait already and lets leases end by themselves; resolves when every machine has ended. */
  drain(): Promise<void> {
    if (this.#phase === "open") this.#phase = "draining";
    this.#plan();
    return this.#done.promise;
  }

  /** Ends everything now, leases too; resolves when every machine has ended. */
  close(reason?: unknown): Promise<void> {
    if (this.#phase !== "closed") {
      this.#phase = "closed";
      this.#closeReason = reason;
      this.#waiters.failAll(() => poolClosed(reason));
      for (const member of [...this.#members]) this.#giveUp(member);
    }
    this.#plan();
    return this.#done.promise;
  }

  /** Everything that follows from the state of things; see the class. */
  #plan(): void {
    this.#serveWaiters();
    this.#startMissing();
    this.#endSurplus();
    this.#setWakeUp();
    if (this.#phase !== "open" && this.#members.size === 0 && this.#waiters.length === 0) this.#finish();
  }

  /** Gives idle machines to those who wait: the one used last first, so that the others may grow old and go. */
  #serveWaiters(): void {
    const now = this.#parts.clock.now();
    const idle = this.#idleByAge();
    while (this.#waiters.length > 0) {
      const member = idle.pop();
      if (member === undefined) return;
      if (now - member.answeredAt <= freshMs) this.#handOut(member);
      else if (this.#count("checking") < this.#waiters.length) void this.#check(member);
    }
  }

  #startMissing(): void {
    if (this.#phase === "closed") return;
    // Somebody who waits is worth an attempt at any time, and is told when it fails. Keeping machines ready is not.
    const rested = this.#parts.clock.now() >= this.#backoff.until;
    const wanted = this.#waiters.length + (rested ? this.#min : 0) - this.#ready;
    for (let left = Math.min(wanted, this.#settings.max - this.#members.size); left > 0; left--)
      void this.#start();
  }

  /** Takes back starts that nobody needs any more, and ends machines that have been idle for too long. */
  #endSurplus(): void {
    const surplus = this.#ready - this.#waiters.length - this.#min;
    if (surplus <= 0) return;
    for (const member of this.#of("queued").slice(-surplus)) this.#giveUp(member);
    if (this.#phase === "draining" && this.#waiters.length === 0)
      for (const member of this.#of("starting")) this.#giveUp(member);
    const now = this.#parts.clock.now();
    for (const member of this.#idleByAge().slice(0, this.#idleSurplus))
      if (now >= this.#expiryOf(member)) this.#end(member);
  }

  /** Comes back when an idle machine is too old, or when the next attempt to keep machines ready may be made. */
  #setWakeUp(): void {
    this.#cancelWakeUp();
    this.#cancelWakeUp = () => {};
    if (this.#phase === "closed") return;
    const { clock } = this.#parts;
    const now = clock.now();
    const moments = [this.#backoff.until];
    const oldest = this.#idleByAge()[0];
    if (oldest !== undefined && this.#idleSurplus > 0) moments.push(this.#expiryOf(oldest));
    const next = Math.min(...moments.filter((moment) => moment > now));
    if (next < Number.POSITIVE_INFINITY) this.#cancelWakeUp = clock.timer(next - now, () => this.#plan());
  }

  #finish(): void {
    this.#phase = "closed";
    if (this.#endFailure === undefined) this.#done.resolve();
    else this.#done.reject(this.#endFailure);
  }

  async #start(): Promise<void> {
    const { memory, starts } = this.#parts;
    const member = new PoolMember<M>(memory.request(this.#settings.memoryMiB));
    this.#members.add(member);
    // Memory before the turn: whoever holds a turn must not wait for anything but its own machine.
    await member.memory.settled;
    if (member.state !== "queued") return;
    member.turn = starts.request(1);
    await member.turn.settled;
    if (member.state !== "queued") return;
    member.become("starting");
    try {
      member.machine = await this.#parts.create(member.cancel.signal);
    } catch (error) {
      this.#startFailed(member, error);
      return;
    } finally {
      member.turn.release();
    }
    this.#created++;
    void this.#watch(member);
    // Also when it has been given up meanwhile: the plan ends what is idle and not wanted.
    this.#makeIdle(member);
    this.#plan();
  }

  #startFailed(member: PoolMember<M>, error: unknown): void {
    this.#leave(member);
    if (!member.cancel.signal.aborted) {
      this.#failed(error);
      this.#backoff.failed(this.#parts.clock.now());
      // Whoever has waited longest hears of it, unless another machine is on its way to them.
      if (this.#waiters.length > this.#ready) this.#waiters.fail(error);
    }
    this.#plan();
  }

  /** Notices at once when a machine ends by itself, whatever it is doing. */
  async #watch(member: PoolMember<M>): Promise<void> {
    const how = await this.#parts.ended(member.machine).catch((error: unknown) => asError(error).message);
    if (member.state === "ending" || member.state === "gone") return;
    this.#failed(endedInPool(how));
    if (member.state === "leased") {
      member.dead = true;
      return;
    }
    // A pool whose machines die one after the other must not burn the host with new ones.
    this.#backoff.failed(this.#parts.clock.now());
    this.#end(member);
    this.#plan();
  }

  #makeIdle(member: PoolMember<M>): void {
    member.become("idle");
    member.idleSince = this.#parts.clock.now();
    member.answeredAt = member.idleSince;
  }

  #handOut(member: PoolMember<M>): void {
    member.become("leased");
    const { machine, revoke } = this.#parts.lend(member.machine);
    const lease = new Lease(machine, (action) => {
      revoke();
      this.#takeBack(member, action ?? this.#settings.onRelease);
    });
    member.lease = lease;
    this.#backoff.succeeded();
    this.#latencies.add(this.#waiters.serve(lease));
  }

  #takeBack(member: PoolMember<M>, action: ReleaseAction): void {
    member.lease = undefined;
    const unwanted = this.#phase !== "open" && this.#waiters.length === 0;
    if (member.dead || unwanted || action === "discard") this.#end(member);
    else if (action === "reset") void this.#reset(member);
    else void this.#check(member);
    this.#plan();
  }

  async #reset(member: PoolMember<M>): Promise<void> {
    member.become("resetting");
    let wasReset = false;
    try {
      wasReset = await this.#within(resetTimeoutMs, "reset", () => this.#parts.reset(member.machine));
    } catch (error) {
      if (member.state === "resetting") this.#failed(error);
    }
    if (member.state !== "resetting") return;
    if (wasReset) {
      this.#resets++;
      await this.#check(member);
    } else {
      this.#end(member);
      this.#plan();
    }
  }

  async #check(member: PoolMember<M>): Promise<void> {
    member.become("checking");
    try {
      await this.#within(checkTimeoutMs, "health check", () => this.#parts.check(member.machine));
      if (member.state === "checking") this.#makeIdle(member);
    } catch (error) {
      if (member.state === "checking") {
        this.#failed(error);
        this.#end(member);
      }
    }
    this.#plan();
  }

  /** What a machine is asked must be done in time; what comes later is of no interest. */
  async #within<Value>(timeoutMs: number, what: string, work: () => Promise<Value>): Promise<Value> {
    const late = deferred<never>();
    const cancel = this.#parts.clock.timer(timeoutMs, () => late.reject(tooSlow(what, timeoutMs)));
    try {
      // Begun later than now, so that nothing of it can come between the planning that asks for it.
      return await Promise.race([Promise.resolve().then(work), late.promise]);
    } finally {
      cancel();
    }
  }

  #end(member: PoolMember<M>): void {
    member.become("ending");
    void this.#destroy(member);
  }

  async #destroy(member: PoolMember<M>): Promise<void> {
    try {
      await this.#within(endTimeoutMs, "end", () => this.#parts.destroy(member.machine));
    } catch (error) {
      // Its place is free all the same: a pool must not shrink for good because of one that cannot be cleaned up.
      this.#failed(error);
      this.#endFailure ??= asError(error);
    }
    this.#destroyed++;
    this.#leave(member);
    this.#plan();
  }

  /** Brings a member's end about, whatever it is doing. */
  #giveUp(member: PoolMember<M>): void {
    if (member.state === "queued") this.#leave(member);
    else if (member.state === "starting") member.cancel.abort(poolClosed(this.#closeReason));
    else if (member.state === "leased") void member.lease?.release("discard");
    else if (member.state !== "ending" && member.state !== "gone") this.#end(member);
  }

  #leave(member: PoolMember<M>): void {
    member.become("gone");
    this.#members.delete(member);
    member.memory.release();
    member.turn?.release();
  }

  #failed(error: unknown): void {
    this.#failures++;
    this.#lastFailure = asError(error);
  }

  /** Machines that are to be ready beyond those somebody waits for. */
  get #min(): number {
    return this.#phase === "open" ? this.#settings.min : 0;
  }

  /** Machines that can be handed out, now or as soon as what they are at is done. */
  get #ready(): number {
    return this.#count("idle", "queued", "starting", "checking", "resetting");
  }

  /** How many of the idle machines may go. */
  get #idleSurplus(): number {
    return Math.max(0, this.#count("idle") - this.#min);
  }

  #expiryOf(member: PoolMember<M>): number {
    return member.idleSince + (this.#phase === "open" ? this.#settings.idleTimeoutMs : 0);
  }

  /** Longest idle first; of two that became idle in one moment, the later one last. */
  #idleByAge(): PoolMember<M>[] {
    return this.#of("idle").sort((a, b) => a.idleSince - b.idleSince);
  }

  #of(...states: readonly MemberState[]): PoolMember<M>[] {
    return [...this.#members].filter(({ state }) => states.includes(state));
  }

  #count(...states: readonly MemberState[]): number {
    return this.#of(...states).length;
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
