import { VcpuWorker } from "./vcpu-worker.ts";

/** How many idle threads are kept at most; each takes a few MiB. */
const maxIdle = 8;
/** This many stay however long they are idle; the others end after a while. */
const keptIdle = 2;
const idleMs = 60_000;
/** Spares are started when no machine was for this long: they must not compete with a guest that boots. */
const calmMs = 1000;

/** What the set needs of a thread. */
export type IdleWorker = Pick<VcpuWorker, "exited" | "rest" | "terminate">;

/**
 * The threads of this process that run vCPUs, or wait for one. A thread takes as long to start as a Node process,
 * longer than all else that a machine needs: it is started before it is needed, and used again.
 */
export class VcpuWorkers<Thread extends IdleWorker> {
  readonly #start: () => Thread;
  /** The last one is taken first, so that those that are not needed grow old; fresh ones, still cold, come first. */
  readonly #idle: Thread[] = [];
  readonly #ageing: Map<Thread, NodeJS.Timeout> = new Map();
  /** Of machines that are being prepared. One that fails leaves its own behind, which costs idle threads only. */
  #expected = 0;
  #machines = 0;
  #isForOne = false;
  #calm: NodeJS.Timeout | undefined;

  constructor(start: () => Thread) {
    this.#start = start;
  }

  /** Starts what a machine will take, without waiting. */
  prepare(count: number): void {
    this.#expected = Math.min(this.#expected + count, maxIdle);
    this.#fill(this.#expected);
  }

  /**
   * Starts threads for whoever prepares next, in a process that is there for one machine. Its threads end with their
   * vCPUs, so that the process's own end need not wait for them.
   */
  headStart(count: number): void {
    this.#isForOne = true;
    this.#fill(Math.min(count, maxIdle));
  }

  /** All threads of a machine, warm ones as far as there are any. Throws when the system refuses one, and takes none. */
  take(count: number): Thread[] {
    const taken: Thread[] = [];
    try {
      while (taken.length < count) taken.push(this.#takeIdle() ?? this.#startWatched());
    } catch (error) {
      for (const worker of taken) this.giveBack(worker);
      throw error;
    }
    this.#expected = Math.max(0, this.#expected - count);
    this.#machines += 1;
    // A process that starts one machine and no other, as a command line does, must not pay for spares.
    if (this.#machines > 1) this.#replaceLater(count);
    return taken;
  }

  /** Takes back a thread whose vCPU ended in an orderly way. */
  giveBack(worker: Thread): void {
    worker.rest();
    if (this.#isForOne || this.#idle.length >= maxIdle) worker.terminate();
    else this.#add(worker);
  }

  #replaceLater(count: number): void {
    clearTimeout(this.#calm);
    this.#calm = setTimeout(() => {
      this.#expected = 0;
      this.#fill(Math.min(count, maxIdle));
    }, calmMs).unref();
  }

  #fill(count: number): void {
    try {
      while (this.#idle.length < count) this.#add(this.#startWatched(), { isFresh: true });
    } catch {
      // Spares are a kindness: whoever needs a thread hears why there is none.
    }
  }

  #startWatched(): Thread {
    const worker = this.#start();
    // It may die while it is idle.
    void worker.exited.then(() => this.#remove(worker));
    return worker;
  }

  #takeIdle(): Thread | undefined {
    const worker = this.#idle.at(-1);
    if (worker !== undefined) this.#remove(worker);
    return worker;
  }

  #add(worker: Thread, { isFresh = false } = {}): void {
    if (isFresh) this.#idle.unshift(worker);
    else this.#idle.push(worker);
    const retire = (): void => {
      // What was expected so long ago does not come.
      this.#expected = 0;
      if (this.#idle.length <= keptIdle) return;
      this.#remove(worker);
      worker.terminate();
    };
    this.#ageing.set(worker, setTimeout(retire, idleMs).unref());
  }

  #remove(worker: Thread): void {
    const at = this.#idle.indexOf(worker);
    if (at === -1) return;
    this.#idle.splice(at, 1);
    clearTimeout(this.#ageing.get(worker));
    this.#ageing.delete(worker);
  }
}

/** One set for all machines of the process. */
export const vcpuWorkers: VcpuWorkers<VcpuWorker> = new VcpuWorkers(() => new VcpuWorker());
