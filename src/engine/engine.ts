import type { Duplex } from "node:stream";
import type { GuestKernel } from "../kernel/guest-kernel.ts";
import type { SnapshotManifest } from "../snapshot/manifest.ts";
import type { SavedComponent } from "../snapshot/state-codec.ts";
import type { Home } from "../storage/home.ts";
import type { EnginePhase } from "./phase-clock.ts";

export type { GuestKernel } from "../kernel/guest-kernel.ts";

/** Everything an engine needs to start a machine: plain data, frozen, checked before it gets here. */
export interface EngineConfig {
  /** 12 hex digits. */
  readonly id: string;
  readonly architecture: "x64" | "arm64";
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly kernel: GuestKernel;
  /** Path of the EROFS image; the engine exposes it read-only. */
  readonly rootfs: string;
  readonly network: "user" | "none";
  /** A folder of this machine alone, for sockets and scratch files; removed by the caller afterwards. */
  readonly directory: string;
  /** Root of the home, where snapshots are kept. */
  readonly home: string;
  readonly origin: MachineOrigin;
}

/**
 * What a machine begins with.
 *
 * - `boot`: a kernel and nothing else.
 * - `template`: a machine that has booted, but has no image yet; made when there is none. Engines that have no snapshots
 *   boot instead.
 * - `snapshot`: where another machine stood, its image included.
 */
export type MachineOrigin =
  | { readonly kind: "boot" }
  | { readonly kind: "template" }
  | { readonly kind: "snapshot"; readonly id: string };

/** What `probe` found. Never a thrown error: "why can I not run here" is the first question of every user. */
export interface EngineSupport {
  readonly usable: boolean;
  /** "kvm", "hvf", "tcg" ... when usable. */
  readonly accelerator?: string;
  /** False for software emulation, which is no security boundary. */
  readonly isolating: boolean;
  /** Whether its machines can have a network that leads out. */
  readonly network: boolean;
  /** What was found, in one line: "QEMU 7.2.22, KVM". */
  readonly detail: string;
  /** When not usable (or usable only slowly): why, and what to do about it. */
  readonly reason?: string;
  readonly remedy?: string;
}

/** How a machine ended. */
export type EngineExit =
  | { readonly kind: "powered-off" }
  | { readonly kind: "killed" }
  | { readonly kind: "panic"; readonly console: readonly string[] }
  | { readonly kind: "failed"; readonly detail: string; readonly console: readonly string[] };

/** How the agent finds the root image and the network on this engine; goes into the agent's `setup` request. */
export interface GuestDevices {
  /** Module groups to load before the root is mounted: "blk", "pmem", "net" ... */
  readonly modules: readonly string[];
  /** "/dev/vda", "/dev/pmem0" */
  readonly rootDevice: string;
  readonly dax: boolean;
  readonly network?: GuestNetwork;
}

export interface GuestNetwork {
  readonly interface: string;
  /** "10.0.2.15/24" */
  readonly address: string;
  readonly gateway: string;
  readonly nameservers: readonly string[];
}

export interface EngineTimings {
  /** The monitor runs. */
  readonly spawnedMs?: number;
  /** The guest's console said something for the first time; with a quiet kernel that may be late or never. */
  readonly consoleMs?: number;
  /** What the start was made of, in order; on engines that can tell. */
  readonly phases?: readonly EnginePhase[];
}

/** A started machine as its engine sees it. */
export interface EngineMachine extends AsyncDisposable {
  /**
   * The ordered byte stream of the agent protocol. May be there before the agent is: what is written waits for it.
   * Rejects when the machine ends first. Another one after a `reset`.
   */
  readonly agent: Promise<Duplex>;
  readonly devices: GuestDevices;
  /** What it really began with; a guest from a `snapshot` is set up already. */
  readonly origin: MachineOrigin["kind"];
  /** Resolves once when the machine is gone; never rejects. */
  readonly exited: Promise<EngineExit>;
  /** Process that carries the guest, for accounting; ours for in-process monitors. */
  readonly pid: number;
  /** Path of a Unix socket through which programs of the host reach the guest's vsock ports; on engines that have it. */
  readonly vsockSocket?: string;
  /** Milliseconds from the call of `start` to each phase reached so far. */
  readonly timings?: EngineTimings;
  /**
   * Puts the machine back to where it was restored from, in place; on engines that can. What it wrote since is gone, and
   * so are its connections. Throws `UNSUPPORTED` for a machine that was booted, `MACHINE_EXITED`.
   */
  reset?(): Promise<void>;
  /**
   * Makes a snapshot, for the end of which the machine stands still; it goes on afterwards. On engines that can. Not
   * during a reset, or another one. Resolves with its id. Throws `NO_SPACE`, `PERMISSION_DENIED`, `MACHINE_EXITED`.
   */
  capture?(request: CaptureRequest): Promise<string>;
  /**
   * Asks the guest to give up this much of its memory, in all, from now on; 0 gives everything back to it. On engines that
   * can. The guest gives what it can spare, when it can.
   */
  requestMemory?(mebibytes: number): void;
  /** What the guest frees of its memory goes back to the host by itself; on engines that have it so. */
  readonly takesFreedMemory?: boolean;
  /** How much of its memory the guest has given up, in MiB. */
  givenMemory?(): number;
  /**
   * To be called when the guest is set up, and when its first command has ended: what it has touched until then is what the
   * next machine of the same origin will need.
   */
  answered?(what: "setup" | "command"): void;
  /** How often the vCPUs left the guest, by kind; on engines that can tell. */
  exitCounts?(): Readonly<Record<string, number>>;
  /** The guest console's last lines, oldest first. */
  consoleLines(): readonly string[];
  /** Ends the machine at once, without asking the guest. Idempotent. */
  kill(): Promise<void>;
}

export interface CaptureRequest {
  readonly labels: Readonly<Record<string, string>>;
  /**
   * Called when the machine is about to stand still, and waited for. Resolves with what the snapshot is to hold besides the
   * machine: their ids start with "machine". If it rejects, so does the capture.
   */
  readonly onPausing: () => Promise<readonly SavedComponent[]>;
  /** Called when the machine stands still no longer, also after a failure; what is left to do is writing. */
  readonly onResumed: () => void;
  /** False: it need not survive a power failure. */
  readonly durable: boolean;
}

export interface ProbeOptions {
  /** Where an engine keeps what it found, if finding out takes long. */
  readonly home?: Home;
  /** Believes nothing that was found earlier. */
  readonly fresh?: boolean;
}

export interface Engine {
  readonly name: "vmm" | "qemu";
  probe(options?: ProbeOptions): Promise<EngineSupport>;
  /** Starts what a machine with so many processors will need of this process, without waiting; where that helps. */
  prepare?(cpus: number): void;
  /** Why a snapshot cannot go on here in a machine of this shape, in words; on engines that make snapshots. */
  unfit?(
    manifest: SnapshotManifest,
    shape: Pick<EngineConfig, "architecture" | "cpus" | "memoryMiB">,
  ): string | undefined;
  /** Starts the guest; resolves as soon as it runs, before the agent answers. */
  start(config: EngineConfig): Promise<EngineMachine>;
}
