import { PassThrough } from "node:stream";
import type {
  CaptureRequest,
  Engine,
  EngineConfig,
  EngineExit,
  EngineMachine,
  EngineSupport,
  GuestDevices,
} from "../../engine/engine.ts";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { SnapshotStore } from "../../snapshot/host/snapshot-store.ts";
import { describeSnapshot } from "../../snapshot/host/testing/snapshot-rig.ts";
import { ArrayMemory } from "../../snapshot/testing/array-memory.ts";
import { Home } from "../../storage/home.ts";
import { deferred } from "../../streams/deferred.ts";
import type { AgentHub } from "../agent-hub.ts";
import { FakeAgent } from "./fake-agent.ts";

/** How a fake guest misbehaves. */
export interface FakeEngineOptions {
  /** Its machines make snapshots, of the same few bytes of memory each, and can be reset, which does nothing. */
  snapshots?: boolean;
  /** What its guests free goes back to the host. */
  takesFreedMemory?: boolean;
  support?: Partial<EngineSupport>;
  /** The agent never answers. */
  silent?: boolean;
  /** The guest panics as soon as it has started. */
  panicAtBoot?: boolean;
  /** The engine dies at once; as with real ones, the connection is lost before it is known how. */
  diesAtBoot?: boolean;
  /** The agent takes a shutdown request and does nothing. */
  ignoresShutdown?: boolean;
}

/** An engine whose guests are objects in memory. */
export class FakeEngine implements Engine {
  readonly name: "vmm" | "qemu";
  readonly guests: FakeGuest[] = [];
  /** Why no snapshot fits here, from now on. */
  misfit: string | undefined;
  readonly unfit?: () => string | undefined;
  readonly #options: FakeEngineOptions;

  constructor(options: FakeEngineOptions = {}) {
    this.#options = options;
    this.name = options.snapshots === true ? "vmm" : "qemu";
    if (options.snapshots === true) this.unfit = () => this.misfit;
  }

  async probe(): Promise<EngineSupport> {
    return {
      usable: true,
      accelerator: "fake",
      isolating: true,
      network: true,
      detail: "In memory",
      ...this.#options.support,
    };
  }

  async start(config: EngineConfig): Promise<EngineMachine> {
    const guest = new FakeGuest(config, this.#options);
    this.guests.push(guest);
    return guest;
  }

  /** Stands for the version check with a real agent. */
  readonly openAgent = async (
    stream: unknown,
    onOperations: (underWay: number) => void,
  ): Promise<AgentHub> => {
    const guest = this.guests.find((candidate) => candidate.stream === stream);
    if (guest === undefined) throw new Error("This stream belongs to no fake guest");
    if (this.#options.diesAtBoot === true) {
      setTimeout(() => guest.end({ kind: "failed", detail: "no such luck", console: [] }), 5);
      throw new SupermachineError("MACHINE_EXITED", "The connection to the guest agent ended");
    }
    guest.agentDouble.onOperations = onOperations;
    return {
      agent: guest.agentDouble,
      attach: (transport) => transport.close(),
      close: () => guest.agentDouble.lose(),
    };
  };
}

/** One fake guest; the test ends it as it likes. */
export class FakeGuest implements EngineMachine {
  readonly config: EngineConfig;
  readonly agentDouble: FakeAgent;
  readonly stream: PassThrough = new PassThrough();
  readonly agent: Promise<PassThrough>;
  readonly pid: number = process.pid;
  readonly origin: "boot" | "snapshot";
  readonly devices: GuestDevices = {
    modules: ["blk"],
    rootDevice: "/dev/vda",
    dax: false,
  };
  readonly exited: Promise<EngineExit>;
  readonly capture?: (request: CaptureRequest) => Promise<string>;
  readonly reset?: () => Promise<void>;
  readonly takesFreedMemory: boolean;
  readonly #exit = deferred<EngineExit>();

  constructor(config: EngineConfig, options: FakeEngineOptions) {
    this.config = config;
    this.origin = config.origin.kind === "snapshot" ? "snapshot" : "boot";
    this.takesFreedMemory = options.takesFreedMemory ?? false;
    this.exited = this.#exit.promise;
    this.agentDouble = new FakeAgent(() => {
      if (options.ignoresShutdown !== true) this.end({ kind: "powered-off" });
    });
    this.agent = options.silent === true ? new Promise(() => {}) : Promise.resolve(this.stream);
    if (options.panicAtBoot === true) this.panic();
    if (options.snapshots !== true) return;
    this.capture = (request) => capture(config, request);
    this.reset = async () => {};
  }

  consoleLines(): readonly string[] {
    return ["booting", "[ 0.1] Kernel panic - not syncing: fake"];
  }

  panic(): void {
    this.end({ kind: "panic", console: this.consoleLines() });
  }

  /** The machine is gone, and with it the connection to its agent. */
  end(exit: EngineExit): void {
    this.#exit.resolve(exit);
    this.agentDouble.lose();
  }

  async kill(): Promise<void> {
    this.end({ kind: "killed" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

async function capture({ home }: EngineConfig, request: CaptureRequest): Promise<string> {
  await using writer = await new SnapshotStore(new Home(home)).create();
  const memory = new ArrayMemory(1);
  const components = await request.onPausing();
  await writer.captureMemory(memory);
  request.onResumed();
  return await writer.finish({ ...describeSnapshot(memory), components, labels: request.labels });
}
