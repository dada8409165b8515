import { Home } from "../storage/home.ts";
import { Execution } from "./execution.ts";
import { commandLine } from "./guest-command.ts";
import { signalNumber } from "./guest-signals.ts";
import { MachineFiles } from "./machine-files.ts";
import type { MachineLink } from "./machine-link.ts";
import { isLive } from "./machine-record.ts";
import { MachineRegistry } from "./machine-registry.ts";
import { parseMemory } from "./memory-size.ts";
import { LeasedLink } from "./pool/leased-link.ts";
import { openForward } from "./port-forward.ts";
import type {
  ExecOptions,
  ForkOptions,
  Forward,
  ForwardOptions,
  ListOptions,
  LogEntry,
  LogOptions,
  LookupOptions,
  MachineExit,
  MachineInfo,
  MachineOptions,
  MachineStats,
  PhaseTiming,
  RestoreOptions,
  RunOptions,
  SnapshotInfo,
  SnapshotOptions,
  StopOptions,
} from "./types.ts";

/** Lets functions of this module reach what is hidden from callers. */
let linkOf: (machine: Machine) => MachineLink;

/**
 * A microVM that runs an image.
 *
 * A machine idles until it is given commands (`exec`, `run`, `shell`), or runs one main command (`command` option) and
 * stops with it. Its root file system is the image with a writable layer in guest memory: what is written is gone when
 * the machine stops.
 *
 * @example
 * ```ts
 * import { Machine } from "supermachine";
 *
 * await using machine = await Machine.create("busybox", { memory: "256MiB" });
 * const { stdout } = await machine.exec(["echo", "hello"]);
 * console.log(stdout); // hello
 * ```
 */
export class Machine implements AsyncDisposable {
  static {
    linkOf = (machine) => machine.#link;
  }

  readonly #link: MachineLink;
  /** Files inside the machine. */
  readonly files: MachineFiles;

  /** Not for callers: `Machine.create` and `Machine.connect` make machines. */
  constructor(link: MachineLink) {
    this.#link = link;
    this.files = new MachineFiles(link);
  }

  /**
   * Pulls the image where needed, starts a machine of it, and resolves when the machine takes commands.
   *
   * @param image An image reference ("python:3.12-slim"), or a transport: "oci:DIR[:TAG]", "oci-archive:FILE",
   * "docker-archive:FILE".
   * @throws SupermachineError `INVALID_ARGUMENT`, `INVALID_REFERENCE`, `IMAGE_NOT_FOUND` and the other image errors,
   * `NAME_IN_USE`, `PORT_IN_USE`, `ENGINE_UNAVAILABLE`, `KERNEL_NOT_FOUND`, `BOOT_FAILED`, `BOOT_TIMEOUT`,
   * `GUEST_PANIC`, `ABORTED`.
   *
   * @example
   * ```ts
   * import { Machine } from "supermachine";
   *
   * await using machine = await Machine.create("busybox", { cpus: 1, env: { GREETING: "hi" }, network: "none" });
   * console.log((await machine.shell("echo $GREETING")).stdout); // hi
   * ```
   */
  static create(image: string, options?: MachineOptions): Promise<Machine>;
  /**
   * Lets a copy of a machine go on from where its snapshot was made: with its processes, files and memory, and with an
   * identity of its own.
   *
   * @throws SupermachineError `SNAPSHOT_NOT_FOUND`, `SNAPSHOT_INVALID`, `SNAPSHOT_MISMATCH`, and the above.
   *
   * @example
   * ```ts
   * import { Machine } from "supermachine";
   *
   * await using machine = await Machine.create("busybox", { memory: "256MiB" });
   * await machine.shell("echo warm >/tmp/state");
   * const { id } = await machine.snapshot();
   * await using copy = await Machine.create({ snapshot: id });
   * console.log((await copy.shell("cat /tmp/state")).stdout); // warm
   * ```
   */
  static create(options: RestoreOptions): Promise<Machine>;
  static async create(source: string | RestoreOptions, options: MachineOptions = {}): Promise<Machine> {
    // Most commands and programs look at machines that are there; what makes one takes its time to load.
    const { defaultParts } = await import("./default-parts.ts");
    if (typeof source === "string") {
      const { createMachine } = await import("./create-machine.ts");
      return new Machine(await createMachine(source, options, defaultParts));
    }
    const { restoreMachine } = await import("./restore-machine.ts");
    return new Machine(await restoreMachine(source, defaultParts));
  }

  /**
   * Finds a machine of any process by its name, its id, or the first digits of its id (at least one, if only one
   * machine's id starts with them). Machines that have ended are found as well: their log and their end can be read.
   *
   * @throws SupermachineError `MACHINE_NOT_FOUND`.
   *
   * @example
   * ```ts
   * import { Machine } from "supermachine";
   *
   * await using machine = await Machine.create("busybox", { name: "worker" });
   * const same = await Machine.connect("worker");
   * console.log(same.id === machine.id); // true
   * ```
   */
  static async connect(nameOrId: string, options: LookupOptions = {}): Promise<Machine> {
    const { RemoteLink } = await import("./remote-link.ts");
    const registry = new MachineRegistry(new Home(options.home));
    return new Machine(await RemoteLink.open(await registry.find(nameOrId), registry));
  }

  /**
   * The machines of every process, oldest first; those that have ended only with `all`.
   *
   * @example
   * ```ts
   * import { Machine } from "supermachine";
   *
   * for (const { name, state, image } of await Machine.list({ all: true })) console.log(name, state, image);
   * ```
   */
  static async list(options: ListOptions = {}): Promise<MachineInfo[]> {
    const records = await new MachineRegistry(new Home(options.home)).list();
    return records.filter((record) => options.all === true || isLive(record)).map(({ info }) => info);
  }

  /** 12 hex digits. */
  get id(): string {
    return this.#link.id;
  }

  /** Its own, or two generated words. */
  get name(): string {
    return this.#link.name;
  }

  /** How long each step of the machine's start took, in milliseconds. */
  get timings(): readonly PhaseTiming[] {
    return this.#link.timings;
  }

  /**
   * Runs a command. Await the result, or use the handle's streams while it runs. A command that fails is a result
   * like any other unless `check` is given; a command that cannot be started rejects.
   *
   * @throws SupermachineError (when awaited) `COMMAND_NOT_FOUND`, `COMMAND_NOT_EXECUTABLE`, `USER_NOT_FOUND`,
   * `WORKING_DIRECTORY`, `EXEC_FAILED` with `check`, `OUTPUT_LIMIT`, `ABORTED`, `GUEST_PANIC`, `MACHINE_EXITED`,
   * `MACHINE_NOT_RUNNING`.
   *
   * @example
   * ```ts
   * const { exitCode, stderr } = await machine.exec(["ls", "/nowhere"]);
   * console.log(exitCode, stderr);
   *
   * const sort = machine.exec(["sort"], { stdin: "pipe" });
   * sort.stdin.end("b\na\n");
   * for await (const chunk of sort.stdout) process.stdout.write(chunk); // a b
   * ```
   */
  exec(argv: readonly string[], options: ExecOptions & { encoding: "buffer" }): Execution<Uint8Array>;
  exec(argv: readonly string[], options?: ExecOptions): Execution;
  exec(argv: readonly string[], options: ExecOptions = {}): Execution<string | Uint8Array> {
    return new Execution(this.#link, argv, options);
  }

  /**
   * Runs what the image is made to run, by docker's rules: its Entrypoint with `argv` in place of its Cmd.
   *
   * @example
   * ```ts
   * const { stdout } = await machine.run(["echo", "hello"]);
   * console.log(stdout); // hello
   * ```
   */
  run(argv: readonly string[], options: RunOptions & { encoding: "buffer" }): Execution<Uint8Array>;
  run(argv?: readonly string[], options?: RunOptions): Execution;
  run(argv: readonly string[] = [], options: RunOptions = {}): Execution<string | Uint8Array> {
    const { entrypoint, ...exec } = options;
    const command = commandLine(this.#link.defaults, { argv, entrypoint });
    return new Execution(this.#link, command, exec);
  }

  /**
   * Runs a script with the guest's `/bin/sh`.
   *
   * @example
   * ```ts
   * const { stdout } = await machine.shell("seq 3 | tail -n 1", { check: true });
   * console.log(stdout); // 3
   * ```
   */
  shell(script: string, options: ExecOptions & { encoding: "buffer" }): Execution<Uint8Array>;
  shell(script: string, options?: ExecOptions): Execution;
  shell(script: string, options: ExecOptions = {}): Execution<string | Uint8Array> {
    return new Execution(this.#link, ["/bin/sh", "-c", script], options);
  }

  /**
   * Opens a port of this host that leads to a TCP port on the guest's loopback interface, until it is closed.
   *
   * @throws SupermachineError `PORT_IN_USE`, `PERMISSION_DENIED`, `INVALID_ARGUMENT`.
   *
   * @example
   * ```ts
   * await machine.shell("mkdir /www && echo hello >/www/index.html && httpd -p 8080 -h /www");
   * await using web = await machine.forward({ guestPort: 8080 });
   * console.log(await (await fetch(`http://127.0.0.1:${web.port}/`)).text()); // hello
   * ```
   */
  forward(options: ForwardOptions): Promise<Forward> {
    return openForward(() => this.#link.agent(), options);
  }

  /**
   * Makes a snapshot: the machine stands still for a moment and goes on. Copies of it are made with
   * `Machine.create({ snapshot })`. Commands that run on behalf of a caller (`exec`) do not go on in a copy; everything
   * else does, the main command included.
   *
   * @param name Under which it can be found; without one it has its id.
   * @throws SupermachineError `NAME_IN_USE`, `NO_SPACE`, `UNSUPPORTED` on engines that cannot, `MACHINE_NOT_RUNNING`.
   *
   * @example
   * ```ts
   * import { Machine } from "supermachine";
   *
   * await using machine = await Machine.create("busybox", { memory: "256MiB" });
   * const snapshot = await machine.snapshot("first", { replace: true });
   * console.log(snapshot.names, snapshot.memoryMiB); // [ 'first' ] 256
   * ```
   */
  async snapshot(name?: string, options: SnapshotOptions = {}): Promise<SnapshotInfo> {
    const { snapshotMachine } = await import("./snapshot-machine.ts");
    return await snapshotMachine(this.#link, name, options);
  }

  /**
   * Makes copies of the running machine, which go on side by side with it. They share its memory until they write.
   * They have names, ids and identities of their own, no published ports, and are this process's to end unless they are
   * `detached`.
   *
   * @param count How many. Default 1.
   * @throws SupermachineError as `snapshot` and `Machine.create`; then there is no copy.
   *
   * @example
   * ```ts
   * import { Machine } from "supermachine";
   *
   * await using machine = await Machine.create("busybox", { memory: "256MiB" });
   * await machine.shell("echo 42 >/answer");
   * const copies = await machine.fork(2);
   * for (const copy of copies) console.log((await copy.shell("cat /answer")).stdout); // 42 42
   * for (const copy of copies) await copy[Symbol.asyncDispose]();
   * ```
   */
  async fork(count: number = 1, options: ForkOptions = {}): Promise<Machine[]> {
    const [{ forkMachine }, { defaultParts }] = await Promise.all([
      import("./snapshot-machine.ts"),
      import("./default-parts.ts"),
    ]);
    const links = await forkMachine(this.#link, { count, ...options }, defaultParts);
    return links.map((link) => new Machine(link));
  }

  /**
   * Returns the machine to the state it was in when it was new, in place: what it wrote is gone, what runs in it ends
   * with `MACHINE_EXITED`, and its main command starts again. Much faster than a new machine.
   *
   * @throws SupermachineError `UNSUPPORTED` on engines that cannot and for machines that were booted
   * (`snapshot: false`), `MACHINE_NOT_RUNNING`.
   *
   * @example
   * ```ts
   * import { Machine } from "supermachine";
   *
   * await using machine = await Machine.create("busybox", { memory: "256MiB" });
   * await machine.files.write("/tmp/left", "over");
   * await machine.reset();
   * console.log(await machine.files.exists("/tmp/left")); // false
   * ```
   */
  async reset(): Promise<void> {
    await this.#link.reset();
  }

  /**
   * Takes memory from the running guest, down to this limit, and gives it back to the host; a higher limit returns it.
   * The guest gives up what it can spare. Of what it frees by itself the host gets most back without being asked.
   *
   * @param memory As in `MachineOptions.memory`, at most what the machine was made with.
   * @returns MiB that the guest has left, once it gives no more.
   * @throws SupermachineError `INVALID_ARGUMENT`, `UNSUPPORTED` on engines that cannot, `MACHINE_NOT_RUNNING`.
   *
   * @example
   * ```ts
   * import { Machine } from "supermachine";
   *
   * await using machine = await Machine.create("busybox", { memory: "512MiB" });
   * console.log(await machine.limitMemory("256MiB")); // 256
   * console.log(await machine.limitMemory("512MiB")); // 512
   * ```
   */
  async limitMemory(memory: number | string): Promise<number> {
    return await this.#link.limitMemory(parseMemory(memory));
  }

  /**
   * What the main command has printed, oldest first. The log is bounded: of very long output the oldest part is
   * dropped.
   *
   * @example
   * ```ts
   * import { Machine } from "supermachine";
   *
   * await using machine = await Machine.create("busybox", { command: ["echo", "done"] });
   * for await (const entry of machine.logs({ follow: true })) process.stdout.write(entry.bytes); // done
   * ```
   */
  logs(options: LogOptions = {}): AsyncIterable<LogEntry> {
    return this.#link.logs(options);
  }

  /**
   * What is known about the machine now.
   *
   * @example
   * ```ts
   * const { state, engine, accelerator } = await machine.info();
   * console.log(state, engine, accelerator);
   * ```
   */
  info(): Promise<MachineInfo> {
    return this.#link.info();
  }

  /**
   * What the machine takes of its host: processor time and memory. Linux only.
   *
   * @throws SupermachineError `MACHINE_NOT_RUNNING`, `UNSUPPORTED` on other systems.
   *
   * @example
   * ```ts
   * const { cpuMs, memoryBytes, memoryMiB } = await machine.stats();
   * console.log(cpuMs > 0, memoryBytes > 0, memoryMiB > 0); // true true true
   * ```
   */
  async stats(): Promise<MachineStats> {
    const { readStats } = await import("./machine-stats.ts");
    return await readStats(await this.#link.info(), await this.#link.exits());
  }

  /**
   * Resolves when the machine has ended, with how; at once when it already has.
   *
   * @example
   * ```ts
   * import { Machine } from "supermachine";
   *
   * await using machine = await Machine.create("busybox", { command: ["sh", "-c", "exit 3"] });
   * console.log((await machine.wait()).exitCode); // 3
   * ```
   */
  wait(options: { signal?: AbortSignal | undefined } = {}): Promise<MachineExit> {
    return this.#link.wait(options);
  }

  /**
   * Ends the machine in an orderly way: the image's stop signal to the main command, then file systems are synced and
   * the guest powers off; killed when that takes too long. Resolves when the machine has ended; may be called twice.
   *
   * @example
   * ```ts
   * import { Machine } from "supermachine";
   *
   * const machine = await Machine.create("busybox");
   * await machine.stop({ timeoutMs: 5_000 });
   * await machine.remove();
   * ```
   */
  stop(options: StopOptions = {}): Promise<MachineExit> {
    return this.#link.stop(options);
  }

  /**
   * Sends a signal to the main command: a name ("SIGHUP", "HUP") or Linux's number.
   *
   * @throws SupermachineError `INVALID_ARGUMENT` for an idle machine and for signals that do not exist,
   * `MACHINE_NOT_RUNNING`.
   *
   * @example
   * ```ts
   * import { Machine } from "supermachine";
   *
   * await using machine = await Machine.create("busybox", { command: ["sleep", "60"] });
   * await machine.signal("SIGTERM");
   * console.log((await machine.wait()).signal); // SIGTERM
   * ```
   */
  async signal(signal: string | number): Promise<void> {
    await this.#link.signal(signalNumber(signal));
  }

  /**
   * Ends the machine at once, without asking the guest.
   *
   * @example
   * ```ts
   * import { Machine } from "supermachine";
   *
   * await using machine = await Machine.create("busybox");
   * console.log((await machine.kill()).reason); // killed
   * ```
   */
  kill(): Promise<MachineExit> {
    return this.#link.kill();
  }

  /**
   * Deletes what a machine has left: its record, its name, its log. It must have ended.
   *
   * @param options `force` kills the machine first when it runs.
   * @throws SupermachineError `MACHINE_RUNNING`.
   *
   * @example
   * ```ts
   * import { Machine } from "supermachine";
   *
   * const machine = await Machine.create("busybox");
   * await machine.remove({ force: true });
   * ```
   */
  async remove(options: { force?: boolean | undefined } = {}): Promise<void> {
    if (options.force === true) await this.#link.kill();
    await this.#link.remove();
  }

  /** Stops and removes a machine that this process made; of any other it only lets go. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#link.owned) {
      await this.#link.stop({});
      await this.#link.remove();
    }
    this.#link.close();
  }
}

/** A second handle on the same machine, which can be taken away from whoever has it. For pools; no public API. */
export function lendMachine(machine: Machine): { readonly machine: Machine; revoke(): void } {
  const link = new LeasedLink(linkOf(machine));
  return { machine: new Machine(link), revoke: () => link.revoke() };
}
