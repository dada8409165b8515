import type { Readable } from "node:stream";
import type { DirectoryEntry, FileStat, FileType } from "../agent/requests.ts";
import type { ImageConfig, PullPolicy } from "../image/image.ts";
import type { ProgressListener } from "../progress/progress.ts";

/** Which engine carries a machine; "auto" takes the first one that is usable here. */
export type EngineName = "vmm" | "qemu";

/** A host port that leads to a port inside the guest. TCP only. */
export interface PublishedPort {
  /** Address to listen on. Default "127.0.0.1": published ports are not reachable from outside unless asked. */
  readonly host: string;
  /** 0: the system picks a free one; `MachineInfo.ports` says which. */
  readonly port: number;
  readonly guestPort: number;
}

/** What `Machine.create` can be told. Everything has a default. */
export interface MachineOptions {
  /** Unique among machines; `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, at most 63 characters. Default: two generated words. */
  name?: string | undefined;
  /** A number is MiB; a string names its unit: "512MiB", "512m", "1g", "1.5GiB". Default 512 MiB. */
  memory?: number | string | undefined;
  /** Virtual CPUs. Default: 2, or 1 where the host has only one. */
  cpus?: number | undefined;
  /** Added to the image's environment, for every command of the machine. */
  env?: Readonly<Record<string, string>> | undefined;
  /** Working directory of every command. Default: the image's. Created when missing. */
  workdir?: string | undefined;
  /** "name", "uid", "name:group", "uid:gid". Default: the image's. */
  user?: string | undefined;
  /** Default: the machine's id. */
  hostname?: string | undefined;
  /** "user": outbound connections through the host. "none": no network device at all. Default "user". */
  network?: "user" | "none" | undefined;
  /** "[IP:]HOST:GUEST" or objects. */
  ports?: readonly (string | Partial<PublishedPort>)[] | undefined;
  /** "linux/arm64" or the like. Default: the host's. */
  platform?: string | undefined;
  /** When a registry is asked. Default "missing". */
  pull?: PullPolicy | undefined;
  /** Default "auto". */
  engine?: EngineName | "auto" | undefined;
  /**
   * False: boot, instead of going on from the template snapshot that all machines of this shape share (made when it is
   * first needed).
   */
  snapshot?: false | undefined;
  /** Path of a kernel to boot in place of the one that is found or fetched. */
  kernel?: string | undefined;
  /** Replaces the image's Entrypoint and drops its Cmd. */
  entrypoint?: readonly string[] | undefined;
  /**
   * The machine's main command: its output goes to the machine's log, and the machine stops when it ends. Replaces the
   * image's Cmd; `[]` runs what the image says. Absent: the machine idles until it is stopped.
   */
  command?: readonly string[] | undefined;
  /** Gives the main command a terminal and keeps its standard input open. Default false. */
  tty?: boolean | undefined;
  /** The machine lives in a process of its own and outlives this one. Default false. */
  detached?: boolean | undefined;
  /** Deletes every trace of the machine once it has stopped, its log included. Default false. */
  remove?: boolean | undefined;
  /** Free text by key, shown by `info` and `list`. */
  labels?: Readonly<Record<string, string>> | undefined;
  /** How long the guest may take from its start until its agent answers. Default 60,000; 180,000 in software emulation. */
  bootTimeoutMs?: number | undefined;
  /**
   * How long nobody may have used the machine before its guest is made to drop its caches, whose memory then is the host's
   * again; in milliseconds, from 1 to 86,400,000, once each time that it becomes idle. Commands, files and connections to
   * its ports are use; the main command is none. False: never. On the engine `vmm`. Default 15,000.
   */
  reclaimAfterMs?: number | false | undefined;
  /** Where everything is kept. Default: `$SUPERMACHINE_HOME` or `~/.supermachine`. */
  home?: string | undefined;
  /** Told about downloads and conversions. */
  onProgress?: ProgressListener | undefined;
  /** Told, once, about things the user should know ("software emulation is no security boundary"). Default: `process.emitWarning`. */
  onWarning?: ((message: string) => void) | undefined;
  /** Gives up: whatever was started is undone, and `create` rejects with `ABORTED`. */
  signal?: AbortSignal | undefined;
}

/**
 * What `Machine.create` can be told about a machine that goes on from a snapshot. Image, processors, memory and kernel are
 * the snapshot's.
 */
export interface RestoreOptions
  extends Omit<
    MachineOptions,
    "memory" | "cpus" | "platform" | "pull" | "kernel" | "entrypoint" | "command" | "snapshot"
  > {
  /** A snapshot's name, its id, or at least four first digits of its id. */
  snapshot: string;
  /**
   * A main command for a copy in which none goes on; `[]` runs what the image says. A main command that goes on cannot be
   * replaced.
   */
  command?: readonly string[] | undefined;
}

/** Options of `machine.fork`. */
export interface ForkOptions {
  /** One for each copy. Default: generated ones. */
  names?: readonly string[] | undefined;
  /** The copies live in processes of their own and outlive this one. Default false. */
  detached?: boolean | undefined;
}

/** What a machine takes of its host now. Of the whole process that carries it, which may carry others. */
export interface MachineStats {
  /** Processor time so far, in milliseconds: of the guest, and of what works for it. */
  readonly cpuMs: number;
  /** Bytes of the host's memory; what several processes share is divided among them. */
  readonly memoryBytes: number;
  /** The part of `memoryBytes` that is the guest's memory; absent where the system does not tell it apart. */
  readonly guestMemoryBytes?: number;
  /** What the guest was given, in MiB: the most that its memory can take. */
  readonly memoryMiB: number;
  /** How often the vCPUs left the guest, in all; absent on engines that cannot tell. */
  readonly exits?: number;
}

/** What a snapshot is of. */
export interface SnapshotInfo {
  /** 64 hex digits: a hash of everything in it. */
  readonly id: string;
  readonly names: readonly string[];
  /** "template": of a guest without an image, made as needed. "warm": of a prepared image. "fork": for copies made at once. */
  readonly kind: "template" | "snapshot" | "warm" | "fork";
  /** Canonical name of the image; absent for templates. */
  readonly image?: string;
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly kernel: string;
  /** Id of the snapshot that its memory is based on. */
  readonly parent?: string;
  /** Bytes that its memory takes on the disk. */
  readonly diskBytes: number;
  /** A machine uses it now. */
  readonly inUse: boolean;
  readonly labels: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
}

/** Options of `machine.snapshot`. */
export interface SnapshotOptions {
  /** Free text by key. */
  labels?: Readonly<Record<string, string>> | undefined;
  /** Take the name from the snapshot that has it. Default false. */
  replace?: boolean | undefined;
}

/** A machine's options with every default filled in: plain, frozen data that can be printed and stored. */
export interface MachineConfig {
  readonly image: string;
  readonly name: string | undefined;
  readonly memoryMiB: number;
  readonly cpus: number;
  readonly env: Readonly<Record<string, string>>;
  readonly workdir: string | undefined;
  readonly user: string | undefined;
  readonly hostname: string | undefined;
  readonly network: "user" | "none";
  readonly ports: readonly PublishedPort[];
  readonly platform: string | undefined;
  readonly pull: PullPolicy;
  readonly engine: EngineName | "auto";
  readonly kernel: string | undefined;
  readonly snapshot: false | undefined;
  readonly entrypoint: readonly string[] | undefined;
  readonly command: readonly string[] | undefined;
  readonly tty: boolean;
  readonly detached: boolean;
  readonly remove: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly bootTimeoutMs: number | undefined;
  readonly reclaimAfterMs: number | false;
}

/**
 * - `creating`: not up yet. `running`. `stopping`.
 * - `stopped`: ended in an orderly way; `exit` says how.
 * - `crashed`: the process that carried it is gone without a word.
 */
export type MachineState = "creating" | "running" | "stopping" | "stopped" | "crashed";

/** How a machine ended. */
export interface MachineExit {
  /**
   * - `stopped`: `stop` was called. `killed`: `kill` was called, or `stop` ran out of patience.
   * - `command`: its main command ended; `exitCode` or `signal` say how.
   * - `powered-off`: the guest switched itself off. `panic`: the guest kernel panicked.
   * - `failed`: the engine failed. `crashed`: the process that carried the machine is gone.
   */
  readonly reason: "stopped" | "killed" | "command" | "powered-off" | "panic" | "failed" | "crashed";
  /** Of the main command, 0 to 255. */
  readonly exitCode?: number;
  /** That ended the main command: "SIGTERM". */
  readonly signal?: string;
  /** The main command was killed for lack of guest memory. */
  readonly outOfMemory?: boolean;
  /** One line on what failed. */
  readonly detail?: string;
  /** The guest console's last lines, after a panic or a failure. */
  readonly console?: readonly string[];
}

/** What is known about a machine; from its files, so it costs nothing and works from any process. */
export interface MachineInfo {
  /** 12 hex digits. */
  readonly id: string;
  readonly name: string;
  readonly state: MachineState;
  /** Canonical name of the image. */
  readonly image: string;
  readonly imageDigest: string;
  /** Id of the snapshot that it was made from, if it was. */
  readonly snapshot?: string;
  readonly engine: EngineName;
  /** "kvm", "tcg" ... */
  readonly accelerator: string | undefined;
  /** Names the guest kernel's release. */
  readonly kernel: string;
  readonly cpus: number;
  readonly memoryMiB: number;
  /** How long it is idle before its guest drops its caches; absent: it never has to. */
  readonly reclaimAfterMs?: number;
  readonly network: "user" | "none";
  /** As really bound. */
  readonly ports: readonly PublishedPort[];
  /** The main command as it was started; absent for an idle machine. */
  readonly command?: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly detached: boolean;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly startedAt?: number;
  readonly finishedAt?: number;
  /** Of the process that carries the machine's monitor. */
  readonly pid: number;
  /** Of the process that carries the guest, when it is another one. */
  readonly enginePid?: number;
  /**
   * Path of a Unix socket that leads to the guest's vsock ports, on engines that have it: a client writes the line
   * `CONNECT <port>` and is answered `OK <port>`. A guest that connects to port P of the host reaches `<path>_P`.
   */
  readonly vsockSocket?: string;
  readonly exit?: MachineExit;
  readonly timings: readonly PhaseTiming[];
  /** How often the vCPUs left the guest, by kind, where this process carries the machine and its engine can tell. */
  readonly exits?: Readonly<Record<string, number>>;
}

/** How long one step of a machine's start took. In the order in which the steps ended. */
export interface PhaseTiming {
  readonly phase: "snapshot" | "image" | "rootfs" | "kernel" | "engine" | "agent" | "setup" | "first exec";
  readonly ms: number;
  /** What it was made of, one after the other, where that is known. */
  readonly parts?: readonly { readonly name: string; readonly ms: number }[];
}

/** Options of `exec`, `run` and `shell`. */
export interface ExecOptions {
  /** Added to the machine's environment. */
  env?: Readonly<Record<string, string>> | undefined;
  /** Default: the machine's working directory. Must exist. */
  cwd?: string | undefined;
  /** "name", "uid", "name:group", "uid:gid". Default: the machine's user. */
  user?: string | undefined;
  /** Runs the command on a terminal; its stderr then arrives on stdout. `true` means 80 columns by 24 rows. */
  tty?: boolean | { columns: number; rows: number } | undefined;
  /** What the command reads from its standard input, which ends after it. */
  input?: string | Uint8Array | AsyncIterable<Uint8Array | string> | undefined;
  /** "pipe": `execution.stdin` can be written to. "none": the command reads from /dev/null. Default "none". */
  stdin?: "none" | "pipe" | undefined;
  /** Kills the command and rejects with `ABORTED`. */
  signal?: AbortSignal | undefined;
  /** The command is killed after this long and the result says `timedOut`. Default: no limit. */
  timeoutMs?: number | undefined;
  /** Reject with `EXEC_FAILED` unless the command exits with 0. Default false. */
  check?: boolean | undefined;
  /** How much of each stream is collected for the result before `OUTPUT_LIMIT`. Default 64 MiB. */
  maxOutputBytes?: number | undefined;
  /** "buffer": the result carries bytes. Default "utf8". */
  encoding?: "utf8" | "buffer" | undefined;
}

/** Options of `run`. */
export interface RunOptions extends ExecOptions {
  /** Replaces the image's Entrypoint and drops its Cmd. */
  entrypoint?: readonly string[] | undefined;
}

/** What became of a command. */
export interface ExecResult<Output extends string | Uint8Array = string> {
  /** 0 to 255; undefined when a signal ended it. */
  readonly exitCode: number | undefined;
  /** "SIGKILL" or the like; undefined when it exited. */
  readonly signal: string | undefined;
  /** Empty when the stream was read by the caller. */
  readonly stdout: Output;
  readonly stderr: Output;
  /** As seen from here, from the request to the last byte of output. */
  readonly durationMs: number;
  readonly timedOut: boolean;
  /** The guest kernel killed it for lack of memory. */
  readonly outOfMemory: boolean;
}

/** One piece of a main command's output. */
export interface LogEntry {
  readonly stream: "stdout" | "stderr";
  /** Milliseconds since 1970, when it reached the host. */
  readonly time: number;
  readonly bytes: Uint8Array;
}

/** Options of `logs`. */
export interface LogOptions {
  /** Goes on until the machine has ended. Default false: what there is now. */
  follow?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/** Options of `stop`. */
export interface StopOptions {
  /** How long the main command and the guest may take in all before the machine is killed. Default 10,000. */
  timeoutMs?: number | undefined;
}

/** Options of `Machine.connect` and the like. */
export interface LookupOptions {
  /** Default: `$SUPERMACHINE_HOME` or `~/.supermachine`. */
  home?: string | undefined;
}

/** Options of `Machine.list`. */
export interface ListOptions extends LookupOptions {
  /** Also those that do not run. Default false. */
  all?: boolean | undefined;
}

/** A listening port that leads into the guest. */
export interface Forward extends AsyncDisposable {
  readonly host: string;
  /** The real one, also when 0 was asked for. */
  readonly port: number;
  readonly guestPort: number;
  /** Stops listening and ends every connection. */
  close(): Promise<void>;
}

/** Options of `forward`. */
export interface ForwardOptions {
  /** Default "127.0.0.1". */
  host?: string | undefined;
  /** 0 or absent: any free port. */
  port?: number | undefined;
  guestPort: number;
  /** Connections beyond this wait in the listen queue's place: they are refused. Default 256. */
  maxConnections?: number | undefined;
}

/** What may be written into a guest file. */
export type FileContent = string | Uint8Array | AsyncIterable<Uint8Array> | Readable;

export type { DirectoryEntry, FileStat, FileType, ImageConfig, ProgressListener, PullPolicy };
