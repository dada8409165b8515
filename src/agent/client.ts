import { SupermachineError } from "../errors/supermachine-error.ts";
import { concatenate } from "../streams/concatenate.ts";
import { AgentLink } from "./link.ts";
import { decodeEntries, decodeExit, decodeNothing, decodeStat, encodeRequest } from "./messages.ts";
import { Operation, type OperationPlan } from "./operation.ts";
import { FrameType } from "./protocol.ts";
import type {
  Agent,
  AgentConnection,
  AgentExec,
  AgentTransport,
  DirectoryEntry,
  ExecExit,
  ExecRequest,
  FileStat,
  GuestIdentity,
  GuestSetup,
  TerminalSize,
} from "./requests.ts";

/** A directory listing is held in memory as a whole; the guest decides how long it is, so there is an end to it. */
const MAX_LISTING_BYTES = 64 << 20;

/**
 * The host's side of the agent protocol.
 *
 * @example
 * ```ts no-run
 * const agent = await AgentClient.connect(transport);
 * const exec = agent.exec({ argv: ["uname"], env: ["PATH=/bin"], stdin: false });
 * for await (const bytes of exec.stdout) console.log(bytes.length);
 * console.log((await exec.exit).exitCode);
 * ```
 */
export class AgentClient implements Agent {
  readonly #link: AgentLink;
  readonly closed: Promise<Error>;

  constructor(link: AgentLink) {
    this.#link = link;
    this.closed = link.closed;
  }

  /** Checks versions with the agent at the other end. To limit the time, close the transport. */
  static async connect(transport: AgentTransport): Promise<AgentClient> {
    return new AgentClient(await AgentLink.connect(transport));
  }

  setup(request: GuestSetup): Promise<void> {
    const description = "set up the guest";
    return this.#ask({
      request: encodeRequest.setup(request),
      description,
      code: "BOOT_FAILED",
      decode: decodeNothing,
    });
  }

  exec(request: ExecRequest): AgentExec {
    return this.#command(`run ${request.argv[0]}`, encodeRequest.exec(request));
  }

  adopt(pid: number): AgentExec {
    return this.#command(`take over process ${pid}`, encodeRequest.adopt(pid));
  }

  freeze(options: { timeoutMs: number }): Promise<void> {
    return this.#ask(systemAttempt("freeze the guest", encodeRequest.freeze(options)));
  }

  renew(identity: GuestIdentity): Promise<void> {
    return this.#ask(systemAttempt("renew the guest", encodeRequest.renew(identity)));
  }

  thaw(): Promise<void> {
    return this.#ask(systemAttempt("thaw the guest", encodeRequest.thaw()));
  }

  reclaim(leastMiB: number): Promise<void> {
    return this.#ask(systemAttempt("drop the guest's caches", encodeRequest.reclaim(leastMiB)));
  }

  readFile(path: string, range: { offset?: number; length?: number } = {}): AsyncIterable<Uint8Array> {
    return this.#download(() => fileAttempt(`read '${path}'`, encodeRequest.readFile(path, range)));
  }

  writeFile(
    path: string,
    content: AsyncIterable<Uint8Array>,
    options: { mode?: number; append?: boolean } = {},
  ): Promise<void> {
    return this.#upload(fileAttempt(`write '${path}'`, encodeRequest.writeFile(path, options)), content);
  }

  stat(path: string, options: { followSymlinks?: boolean } = {}): Promise<FileStat> {
    const attempt = fileAttempt(`stat '${path}'`, encodeRequest.stat(path, options));
    return this.#ask({ ...attempt, decode: decodeStat });
  }

  async list(path: string): Promise<DirectoryEntry[]> {
    const pieces: Uint8Array[] = [];
    let length = 0;
    for await (const piece of this.#download(() => fileAttempt(`list '${path}'`, encodeRequest.list(path)))) {
      length += piece.length;
      if (length > MAX_LISTING_BYTES)
        throw new SupermachineError("FILE_ERROR", `Directory '${path}' has too many entries to list`);
      pieces.push(piece);
    }
    return decodeEntries(concatenate(pieces, length));
  }

  mkdir(path: string, options: { parents?: boolean; mode?: number } = {}): Promise<void> {
    return this.#ask(fileAttempt(`make directory '${path}'`, encodeRequest.mkdir(path, options)));
  }

  remove(path: string, options: { recursive?: boolean; force?: boolean } = {}): Promise<void> {
    return this.#ask(fileAttempt(`remove '${path}'`, encodeRequest.remove(path, options)));
  }

  rename(from: string, to: string): Promise<void> {
    return this.#ask(fileAttempt(`rename '${from}' to '${to}'`, encodeRequest.rename(from, to)));
  }

  chmod(path: string, mode: number): Promise<void> {
    return this.#ask(fileAttempt(`change the mode of '${path}'`, encodeRequest.chmod(path, mode)));
  }

  chown(path: string, uid: number, gid: number): Promise<void> {
    return this.#ask(fileAttempt(`change the owner of '${path}'`, encodeRequest.chown(path, { uid, gid })));
  }

  symlink(target: string, path: string): Promise<void> {
    return this.#ask(fileAttempt(`make link '${path}'`, encodeRequest.symlink(target, path)));
  }

  readTar(path: string): AsyncIterable<Uint8Array> {
    return this.#download(() => fileAttempt(`archive '${path}'`, encodeRequest.readTar(path)));
  }

  writeTar(path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
    return this.#upload(fileAttempt(`extract into '${path}'`, encodeRequest.writeTar(path)), content);
  }

  async connect(port: number): Promise<AgentConnection> {
    const operation = new Operation<void>(this.#link, {
      request: encodeRequest.connect(port),
      description: `connect to port ${port} in the guest`,
      code: "NATIVE_CALL_FAILED",
      decode: decodeNothing,
      cancelWhenAbandoned: true,
    });
    await operation.started;
    return {
      incoming: operation.output,
      write: (bytes) => operation.write(bytes),
      end: () => operation.endInput(),
      cancel: () => operation.cancel(),
    };
  }

  shutdown(): Promise<void> {
    const description = "shut the guest down";
    return this.#ask({
      request: encodeRequest.shutdown(),
      description,
      code: "MACHINE_EXITED",
      decode: decodeNothing,
    });
  }

  close(): void {
    this.#link.close();
  }

  async #ask<T>(plan: OperationPlan<T>): Promise<T> {
    return new Operation(this.#link, plan).result;
  }

  #command(description: string, request: Uint8Array): AgentExec {
    const plan: OperationPlan<ExecExit> = {
      request,
      description,
      code: "NATIVE_CALL_FAILED",
      decode: decodeExit,
    };
    const operation = new Operation(this.#link, plan);
    return {
      started: operation.started,
      stdout: operation.output,
      stderr: operation.errorOutput,
      exit: operation.result,
      writeStdin: (bytes) => operation.write(bytes),
      closeStdin: () => operation.endInput(),
      resize: (size) => operation.control(FrameType.RESIZE, encodeSize(size)),
      signal: (number) => operation.control(FrameType.SIGNAL, encodeSignal(number)),
      cancel: () => operation.cancel(),
    };
  }

  async *#download(plan: () => OperationPlan<void>): AsyncGenerator<Uint8Array, void, undefined> {
    const operation = new Operation(this.#link, { ...plan(), cancelWhenAbandoned: true });
    yield* operation.output;
    await operation.result;
  }

  async #upload(plan: OperationPlan<void>, content: AsyncIterable<Uint8Array>): Promise<void> {
    const operation = new Operation(this.#link, plan);
    // The guest may give its verdict (no such directory, disk full) long before the content ends.
    let decided = false;
    const verdict = operation.result.finally(() => {
      decided = true;
    });
    verdict.catch(() => {});
    try {
      for await (const bytes of content) {
        if (decided) break;
        await operation.write(bytes);
      }
      await operation.endInput();
    } catch (error) {
      // Our write failed because the operation did: its own reason is the better one.
      if (!isInputClosed(error)) operation.cancel();
      if (!isInputClosed(error)) throw error;
    }
    await verdict;
  }
}

function fileAttempt(description: string, request: Uint8Array): OperationPlan<void> {
  return { description, request, code: "FILE_ERROR", decode: decodeNothing };
}

function systemAttempt(description: string, request: Uint8Array): OperationPlan<void> {
  return { description, request, code: "NATIVE_CALL_FAILED", decode: decodeNothing };
}

function isInputClosed(error: unknown): boolean {
  return error instanceof SupermachineError && error.data["errno"] === "EPIPE";
}

function encodeSize(size: TerminalSize): Uint8Array {
  const payload = new Uint8Array(4);
  const view = new DataView(payload.buffer);
  view.setUint16(0, size.columns, true);
  view.setUint16(2, size.rows, true);
  return payload;
}

function encodeSignal(number: number): Uint8Array {
  const payload = new Uint8Array(4);
  new DataView(payload.buffer).setUint32(0, number, true);
  return payload;
}
