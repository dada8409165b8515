/**
 * What the host asks of the guest agent, as plain data. The bytes on the wire are in docs/agent-protocol.md.
 */

/** The first request after the version check; the agent mounts and configures everything that is asked here. */
export interface GuestSetup {
  /** Module groups of the initramfs to load first ("blk", "pmem", "net" ...). */
  readonly modules: readonly string[];
  /** "/dev/vda" or "/dev/pmem0"; waited for until the deadline of the request. */
  readonly rootDevice: string;
  readonly dax: boolean;
  readonly identity: GuestIdentity;
  readonly network?: {
    readonly interface: string;
    readonly address: string;
    readonly gateway: string;
    readonly nameservers: readonly string[];
  };
  /** Directories that must be writable and keep the image's content (the image's Volumes). */
  readonly volumes: readonly string[];
}

/** What tells one machine from its copies. */
export interface GuestIdentity {
  /** 1 to 64 bytes, without spaces and slashes. */
  readonly hostname: string;
  /** Wall clock, nanoseconds since 1970. */
  readonly clockNs: bigint;
  /** Fresh random bytes for the guest's pool; 32 to 512. */
  readonly entropy: Uint8Array;
  /** 32 lowercase hexadecimal digits: /etc/machine-id. */
  readonly machineId: string;
  /** A UUID in lowercase: /proc/sys/kernel/random/boot_id. */
  readonly bootId: string;
}

/** Terminal size in characters. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

export interface ExecRequest {
  /** At least one; looked up in PATH (of `env`) inside the guest when it has no slash. */
  readonly argv: readonly string[];
  /** The whole environment, "NAME=value"; nothing is inherited. HOME is added by the agent when missing. */
  readonly env: readonly string[];
  /** Default "/". */
  readonly cwd?: string;
  /** Create `cwd` when missing, as an image's WorkingDir demands. */
  readonly createCwd?: boolean;
  /** "", "name", "uid", "name:group", "uid:gid"; resolved in the guest, with supplementary groups. */
  readonly user?: string;
  /** Present: run on a terminal of this size; stdout and stderr are one stream then. */
  readonly tty?: TerminalSize;
  /** False: the command reads from /dev/null. */
  readonly stdin: boolean;
  /** True: once started it outlives the connection, and can be taken over with `adopt`. */
  readonly parked?: boolean;
  /** Killed with SIGKILL after this long. 0 or absent: no limit. */
  readonly timeoutMs?: number;
}

/** How a command ended. */
export interface ExecExit {
  /** 0 to 255; absent when a signal ended it. */
  readonly exitCode?: number;
  /** Signal number; absent when it exited. */
  readonly signal?: number;
  readonly timedOut: boolean;
  /** The guest kernel killed it (or one of its children) for lack of memory. */
  readonly outOfMemory: boolean;
}

/** A running command in the guest. */
export interface AgentExec {
  /** Guest process id, once started; rejects with COMMAND_NOT_FOUND and the like. */
  readonly started: Promise<number>;
  /** Reading grants credit: what is not read is not sent, and the guest process blocks. */
  readonly stdout: AsyncIterable<Uint8Array>;
  readonly stderr: AsyncIterable<Uint8Array>;
  /** Resolves when the bytes may be forgotten; rejects with errno EPIPE data when the command closed its stdin. */
  writeStdin(bytes: Uint8Array): Promise<void>;
  closeStdin(): Promise<void>;
  resize(size: TerminalSize): void;
  /** Signals the command's process group. */
  signal(number: number): void;
  /** Resolves after both streams have been delivered to the end. */
  readonly exit: Promise<ExecExit>;
  /** Gives the stream up: kills the command and drops its output. */
  cancel(): void;
}

/** What a path in the guest is. */
export type FileType =
  | "file"
  | "directory"
  | "symlink"
  | "character-device"
  | "block-device"
  | "fifo"
  | "socket";

/** What `stat` tells of a path in the guest. */
export interface FileStat {
  readonly type: FileType;
  readonly size: number;
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Milliseconds since 1970, with fraction. */
  readonly mtimeMs: number;
  /** Present for symbolic links. */
  readonly target?: string;
}

/** One entry of a directory. */
export interface DirectoryEntry extends FileStat {
  readonly name: string;
}

/** A byte stream to a TCP port inside the guest. */
export interface AgentConnection {
  readonly incoming: AsyncIterable<Uint8Array>;
  write(bytes: Uint8Array): Promise<void>;
  end(): Promise<void>;
  cancel(): void;
}

/** The ordered byte stream below the protocol. */
export interface AgentTransport {
  readonly incoming: AsyncIterable<Uint8Array>;
  /** Resolves when more may be sent; rejects once the stream is gone. */
  send(bytes: Uint8Array): Promise<void>;
  close(): void;
}

/** Everything the host can ask. `AgentClient` implements it. */
export interface Agent {
  setup(request: GuestSetup): Promise<void>;
  exec(request: ExecRequest): AgentExec;
  /** Takes over a command that was started with `parked` on an earlier connection. */
  adopt(pid: number): AgentExec;
  /**
   * Stops every process of the guest but the agent, until `thaw` or `renew`; commands that are started meanwhile wait.
   * After a failure, as after ETIMEDOUT, nothing is frozen.
   */
  freeze(options: { timeoutMs: number }): Promise<void>;
  /** Gives a copy of a frozen guest its own identity, and thaws it. */
  renew(identity: GuestIdentity): Promise<void>;
  /** Lets the guest go on as what it was. */
  thaw(): Promise<void>;
  /** Has the guest's kernel drop what it has cached and can read again, if that is at least so many MiB. */
  reclaim(leastMiB: number): Promise<void>;
  readFile(path: string, range?: { offset?: number; length?: number }): AsyncIterable<Uint8Array>;
  /** Replaces or creates the file, atomically as seen by readers where the file system allows it. */
  writeFile(
    path: string,
    content: AsyncIterable<Uint8Array>,
    options?: { mode?: number; append?: boolean },
  ): Promise<void>;
  /** Follows a symbolic link unless `followSymlinks` is false. */
  stat(path: string, options?: { followSymlinks?: boolean }): Promise<FileStat>;
  list(path: string): Promise<DirectoryEntry[]>;
  mkdir(path: string, options?: { parents?: boolean; mode?: number }): Promise<void>;
  remove(path: string, options?: { recursive?: boolean; force?: boolean }): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  chmod(path: string, mode: number): Promise<void>;
  chown(path: string, uid: number, gid: number): Promise<void>;
  symlink(target: string, path: string): Promise<void>;
  /** A pax tar stream of a file or a directory's content. */
  readTar(path: string): AsyncIterable<Uint8Array>;
  /** Extracts a tar stream below an existing directory; entries can not leave it. */
  writeTar(path: string, content: AsyncIterable<Uint8Array>): Promise<void>;
  /** Connects to a TCP port on the guest's loopback interface. */
  connect(port: number): Promise<AgentConnection>;
  /** Syncs file systems and powers the machine off; resolves when the agent has acknowledged. */
  shutdown(): Promise<void>;
  /** Resolves when the connection to the agent is gone, with the reason. */
  readonly closed: Promise<Error>;
  close(): void;
}
