import type { Duplex } from "node:stream";
import type { Connection } from "../../devices/vsock/connection.ts";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { Vm } from "../../hypervisor/vm.ts";
import { leaseSnapshot } from "../../snapshot/host/lease.ts";
import type { MemoryContent } from "../../snapshot/host/memory-content.ts";
import { contentOfRegions } from "../../snapshot/host/memory-regions.ts";
import type { OpenedSnapshot } from "../../snapshot/host/open-snapshot.ts";
import { SnapshotStore } from "../../snapshot/host/snapshot-store.ts";
import type { SnapshotId } from "../../snapshot/manifest.ts";
import type { SavedComponent } from "../../snapshot/state-codec.ts";
import { Home } from "../../storage/home.ts";
import type { DescriptorWatch } from "../../sys/linux/descriptor-watch.ts";
import { ConsoleLog } from "../console-log.ts";
import type {
  CaptureRequest,
  EngineExit,
  EngineMachine,
  EngineTimings,
  GuestDevices,
  MachineOrigin,
} from "../engine.ts";
import { PhaseClock } from "../phase-clock.ts";
import { agentStream } from "./agent-stream.ts";
import {
  type BuiltMachine,
  type RestoreSource,
  resetMachine,
  restoreMachine,
  type SavedState,
  shellShapeOf,
  type VmmConfig,
} from "./build-machine.ts";
import { type ExitCounts, sumExits } from "./exit-counts.ts";
import { agentPort, guestDevices } from "./guest-devices.ts";
import { type RamPiece, type RamSlot, regionsOf } from "./machine-shell.ts";
import { saveMachineState } from "./machine-state.ts";
import type { RunningVcpu } from "./running-vcpu.ts";
import { spareShells } from "./spare-shells.ts";
import { startVcpus } from "./start-vcpus.ts";
import { thisHost } from "./this-host.ts";
import type { VcpuEnd } from "./vcpu-protocol.ts";
import { keepWorkingSet } from "./working-set.ts";

/** A machine's memory, while it may change. */
export interface RunningMachine {
  readonly vm: Vm;
  readonly ram: readonly RamSlot[];
  /** The same, as a snapshot has it. A look at it throws MACHINE_EXITED when the machine has ended. */
  readonly content: MemoryContent;
}

/** A machine that stands still, as long as nobody resumes it. */
export interface PausedMachine {
  /** All but the memory. */
  readonly components: readonly SavedComponent[];
  readonly ram: readonly RamPiece[];
  /** The same memory, as a snapshot has it. */
  readonly content: MemoryContent;
  readonly cpus: number;
  /** What is in each device slot. */
  readonly slots: readonly string[];
}

/** Where a machine comes from. */
export interface Beginning {
  readonly config: VmmConfig;
  /** When, on the clock of `performance.now`. */
  readonly started: number;
  readonly clock: PhaseClock;
  readonly origin: MachineOrigin["kind"];
  /** What it was restored from. */
  readonly snapshot?: OpenedSnapshot | undefined;
}

/** A balloon counts in pages of 4 KiB, whatever the guest's are. */
const pagesPerMebibyte = 256;

/** How long a vCPU's thread may take to stop before it is ended by force; it takes well below a millisecond. */
const stopGraceMs = 5000;

/** A machine whose monitor is this process. */
export class VmmMachine implements EngineMachine {
  readonly devices: GuestDevices = guestDevices;
  readonly origin: MachineOrigin["kind"];
  readonly exited: Promise<EngineExit>;
  readonly pid: number = process.pid;
  readonly vsockSocket: string;
  /** Its balloon takes the guest's reports of free pages. */
  readonly takesFreedMemory: boolean = true;
  readonly #console: ConsoleLog = new ConsoleLog();
  readonly #built: BuiltMachine;
  readonly #vcpus: readonly RunningVcpu[];
  readonly #timings: { spawnedMs?: number; consoleMs?: number } = {};
  readonly #beginning: Beginning;
  /** What a reset puts back. */
  #saved: SavedState | undefined;
  /** What it touches is still to be found out. */
  #seeks: boolean;
  #agent: Promise<Duplex>;
  #isKilled = false;
  #hasEnded = false;
  /** Work on the machine's memory, which stays until it is done, also when the machine ends. */
  #inspections: Promise<unknown> = Promise.resolve();

  /** Lets a saved machine go on, as a new one. A template's guest has no image yet, any other one has its own. */
  static restore(
    config: VmmConfig,
    watch: DescriptorWatch,
    source: RestoreSource & Pick<Beginning, "origin" | "snapshot">,
    clock: PhaseClock = new PhaseClock(),
  ): VmmMachine {
    const started = performance.now();
    const { origin, snapshot, state, wasConnected, workingSet } = source;
    const built = restoreMachine(config, watch, source, clock);
    const saved = { state, wasConnected, workingSet };
    return VmmMachine.start(built, { config, started, clock, origin, snapshot }, saved);
  }

  /** Sets a machine running; `saved` is what a reset puts back. When that fails, nothing is left of it. */
  static start(built: BuiltMachine, from: Beginning, saved?: SavedState): VmmMachine {
    try {
      return new VmmMachine(built, from, saved);
    } catch (error) {
      built[Symbol.dispose]();
      throw error;
    }
  }

  private constructor(built: BuiltMachine, beginning: Beginning, saved?: SavedState) {
    const { started, origin } = beginning;
    this.#built = built;
    this.#beginning = beginning;
    this.#saved = saved;
    this.#seeks = saved?.workingSet === "sought";
    this.origin = origin;
    this.vsockSocket = built.vsockSocket;
    this.#vcpus = startVcpus(built, {
      onConsole: (bytes) => {
        this.#timings.consoleMs ??= performance.now() - started;
        this.#console.push(bytes);
      },
    });
    beginning.clock.mark("start vCPUs");
    this.#timings.spawnedMs = performance.now() - started;
    this.exited = this.#watch();
    this.#agent = this.#connectAgent();
  }

  get agent(): Promise<Duplex> {
    return this.#agent;
  }

  get timings(): EngineTimings {
    return { ...this.#timings, phases: this.#beginning.clock.phases };
  }

  exitCounts(): ExitCounts {
    return sumExits(this.#vcpus.map((vcpu) => vcpu.exitCounts));
  }

  consoleLines(): readonly string[] {
    return this.#console.lines();
  }

  async kill(): Promise<void> {
    this.#isKilled = true;
    for (const vcpu of this.#vcpus) vcpu.stop();
    await this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  /**
   * Pauses the machine between two instructions and saves all but its memory, which stays as it is until `resume`.
   * Rejects with MACHINE_EXITED when it ends meanwhile.
   */
  async pause(): Promise<PausedMachine> {
    await this.#pauseVcpus();
    try {
      await this.#built.slots.hold();
      return this.#save();
    } catch (error) {
      this.resume();
      throw error;
    }
  }

  #save(): PausedMachine {
    const { ram, slots } = this.#built;
    return {
      components: saveMachineState(this.#built),
      ram,
      content: this.#content(),
      cpus: this.#vcpus.length,
      slots: slots.names,
    };
  }

  /** Lets a paused machine go on. */
  resume(): void {
    this.#built.slots.release();
    for (const vcpu of this.#vcpus) vcpu.resume();
  }

  /**
   * Does something while the machine is paused, which goes on afterwards. Its memory is there to the end of the work, even
   * where the machine is killed meanwhile.
   */
  async whilePaused<Value>(work: (paused: PausedMachine) => Promise<Value>): Promise<Value> {
    const inspect = async (): Promise<Value> => {
      const paused = await this.pause();
      try {
        return await work(paused);
      } finally {
        this.resume();
      }
    };
    return await this.#inspected(inspect());
  }

  /** Does something with the memory of the machine while it runs. Rejects with MACHINE_EXITED when it has ended. */
  async whileKept<Value>(work: (running: RunningMachine) => Promise<Value>): Promise<Value> {
    this.#checkRuns();
    const { vm, ram } = this.#built;
    const memory = this.#content();
    const view = (offset: number, length: number): Uint8Array => {
      this.#checkRuns();
      return memory.view(offset, length);
    };
    return await this.#inspected(work({ vm, ram, content: { length: memory.length, view } }));
  }

  async #inspected<Value>(work: Promise<Value>): Promise<Value> {
    this.#inspections = Promise.allSettled([this.#inspections, work]);
    return await work;
  }

  #content(): MemoryContent {
    const { vm, ram } = this.#built;
    return contentOfRegions(vm.memory, regionsOf(ram));
  }

  #checkRuns(): void {
    if (this.#isKilled || this.#hasEnded)
      throw new SupermachineError("MACHINE_EXITED", "The machine ended while its memory was being copied");
  }

  async reset(): Promise<void> {
    const saved = this.#saved;
    if (saved === undefined)
      throw new SupermachineError("UNSUPPORTED", "A machine that was booted cannot be reset", {
        hint: "Create it without 'snapshot: false' (--no-snapshot)",
      });
    await this.#pauseVcpus();
    resetMachine(this.#built, saved);
    this.#agent = this.#connectAgent();
    this.resume();
  }

  async capture(request: CaptureRequest): Promise<SnapshotId> {
    const { config, snapshot } = this.#beginning;
    const { captureMachine } = await import("./capture.ts");
    const home = new Home(config.home);
    // Of our own: the machine may end, and let go of it, before the copy is written.
    await using _parent = snapshot === undefined ? undefined : leaseSnapshot(home, snapshot.id);
    await using writer = await new SnapshotStore(home).create();
    const context = { writer, host: thisHost(config), kernel: config.kernel, parent: snapshot };
    return await captureMachine(this, context, request);
  }

  answered(what: "setup" | "command"): void {
    const { config, snapshot } = this.#beginning;
    if (what === "setup") spareShells.expectMore(shellShapeOf(config));
    if (snapshot === undefined || this.#saved === undefined || !this.#seeks || this.#isKilled) return;
    // A command that touches too much leaves what the set-up has touched.
    const workingSet = keepWorkingSet(new Home(config.home), snapshot, this.#built.ram);
    if (workingSet !== undefined) this.#saved = { ...this.#saved, workingSet };
    this.#seeks = what === "setup";
  }

  requestMemory(mebibytes: number): void {
    this.#built.balloon.requestPages(mebibytes * pagesPerMebibyte);
  }

  givenMemory(): number {
    return this.#built.balloon.gauges.actualPages / pagesPerMebibyte;
  }

  async #pauseVcpus(): Promise<void> {
    await Promise.all(this.#vcpus.map((vcpu) => vcpu.pause()));
  }

  /** A fresh guest's agent knocks when it is ready; a restored one's waits for us. */
  #connectAgent(): Promise<Duplex> {
    const { vsock } = this.#built;
    const connected =
      this.#saved !== undefined
        ? vsock.connect(agentPort)
        : new Promise<Connection>((resolve) => {
            vsock.listen(agentPort, resolve);
          });
    const ended = this.exited.then((exit) => {
      const why = `The machine ended before its agent answered: ${exit.kind}`;
      throw new SupermachineError("MACHINE_EXITED", why);
    });
    const stream = Promise.race([connected, ended]).then(agentStream);
    // It may reject before anyone looks; `exited` tells the same.
    stream.catch(() => {});
    return stream;
  }

  /** The first vCPU that ends, ends the machine; everything is released before anyone hears of it. */
  async #watch(): Promise<EngineExit> {
    const first = await Promise.race(this.#vcpus.map((vcpu) => vcpu.ended));
    this.#hasEnded = true;
    await this.#stopVcpus();
    await this.#inspections;
    this.#built[Symbol.dispose]();
    return this.#explain(first);
  }

  async #stopVcpus(): Promise<void> {
    for (const vcpu of this.#vcpus) vcpu.stop();
    const force = setTimeout(() => {
      for (const vcpu of this.#vcpus) vcpu.terminate();
    }, stopGraceMs);
    try {
      await Promise.all(this.#vcpus.map((vcpu) => vcpu.ended));
    } finally {
      clearTimeout(force);
    }
  }

  #explain(end: VcpuEnd): EngineExit {
    const console = this.#console.lines();
    if (this.#console.hasPanicked) return { kind: "panic", console };
    switch (end.kind) {
      case "stopped":
        return this.#isKilled
          ? { kind: "killed" }
          : { kind: "failed", detail: "A vCPU stopped unasked", console };
      case "power-off":
      case "reset":
        return { kind: "powered-off" };
      case "triple-fault":
        return { kind: "failed", detail: "The guest's processor shut down after a triple fault", console };
      case "failed":
        return { kind: "failed", detail: end.detail, console };
    }
  }
}
