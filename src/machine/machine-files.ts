import type { Agent, DirectoryEntry, FileStat } from "../agent/requests.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import type { MachineLink } from "./machine-link.ts";
import type { FileContent } from "./types.ts";

/** More than this is for `readStream`. */
const defaultMaxBytes = 512 * 1024 * 1024;
const pieceBytes = 64 * 1024;

/**
 * Files inside a machine, with the rights of the guest's root user. Paths are absolute. Content is streamed: files of
 * any size go in and out in bounded memory, except where a method returns all of it.
 *
 * Every method rejects with `FILE_ERROR` when the guest refuses; `error.data.errno` ("ENOENT", "EACCES" ...) says why.
 *
 * @example
 * ```ts
 * import { Machine } from "supermachine";
 *
 * await using machine = await Machine.create("busybox");
 * await machine.files.write("/tmp/a/note.txt", "hello", { parents: true });
 * console.log(await machine.files.readText("/tmp/a/note.txt")); // hello
 * for (const { name } of await machine.files.list("/tmp/a")) console.log(name); // note.txt
 * ```
 */
export class MachineFiles {
  readonly #link: MachineLink;

  /** Not for callers: every machine has its `files`. */
  constructor(link: MachineLink) {
    this.#link = link;
  }

  /**
   * All of a file.
   *
   * @throws SupermachineError `FILE_ERROR`, also when it is longer than `maxBytes` (default 512 MiB).
   *
   * @example
   * ```ts
   * const bytes = await machine.files.read("/bin/busybox");
   * console.log(bytes[0] === 0x7f); // true
   * ```
   */
  async read(path: string, options: { maxBytes?: number | undefined } = {}): Promise<Uint8Array> {
    const limit = options.maxBytes ?? defaultMaxBytes;
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of this.readStream(path)) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > limit)
        throw new SupermachineError("FILE_ERROR", `The file '${path}' is longer than ${limit} bytes`, {
          hint: "Use files.readStream, or raise maxBytes",
          data: { errno: "EFBIG" },
        });
    }
    return Buffer.concat(chunks, length);
  }

  /**
   * All of a UTF-8 file; `maxBytes` as of `read`.
   *
   * @example
   * ```ts
   * console.log((await machine.files.readText("/etc/passwd")).includes("root:")); // true
   * ```
   */
  async readText(path: string, options: { maxBytes?: number | undefined } = {}): Promise<string> {
    return new TextDecoder().decode(await this.read(path, options));
  }

  /**
   * A file's bytes as they arrive; `offset` and `length` in bytes.
   *
   * @example
   * ```ts
   * let size = 0;
   * for await (const chunk of machine.files.readStream("/bin/busybox", { length: 1000 })) size += chunk.length;
   * console.log(size); // 1000
   * ```
   */
  async *readStream(
    path: string,
    range: { offset?: number; length?: number } = {},
  ): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#link.agent().readFile(guestPath(path), range);
    } catch (error) {
      throw await this.#link.explain(error);
    }
  }

  /**
   * Creates or replaces a file.
   *
   * @param options `mode`: permission bits of a new file, default 0o644. `parents`: create missing directories.
   *
   * @example
   * ```ts
   * await machine.files.write("/srv/app/start", "#!/bin/sh\necho started\n", { mode: 0o755, parents: true });
   * console.log((await machine.exec(["/srv/app/start"])).stdout); // started
   * ```
   */
  async write(
    path: string,
    content: FileContent,
    options: { mode?: number | undefined; parents?: boolean | undefined } = {},
  ): Promise<void> {
    await this.#write(path, content, options);
  }

  /**
   * Adds to the end of a file, and creates it when missing.
   *
   * @example
   * ```ts
   * await machine.files.append("/tmp/log", "one\n");
   * await machine.files.append("/tmp/log", "two\n");
   * console.log((await machine.exec(["wc", "-l", "/tmp/log"])).stdout); // 2 /tmp/log
   * ```
   */
  async append(path: string, content: FileContent): Promise<void> {
    await this.#write(path, content, { append: true });
  }

  /**
   * What a path is; of a symbolic link itself unless `followSymlinks`.
   *
   * @example
   * ```ts
   * const { type, mode, uid } = await machine.files.stat("/tmp");
   * console.log(type, mode.toString(8), uid); // directory 1777 0
   * ```
   */
  stat(path: string, options: { followSymlinks?: boolean } = {}): Promise<FileStat> {
    const { followSymlinks = false } = options;
    return this.#ask((agent) => agent.stat(guestPath(path), { followSymlinks }));
  }

  /**
   * Whether there is anything at a path, a dangling link included.
   *
   * @example
   * ```ts
   * console.log(await machine.files.exists("/etc/nothing")); // false
   * ```
   */
  async exists(path: string): Promise<boolean> {
    try {
      await this.stat(path);
      return true;
    } catch (error) {
      if (error instanceof SupermachineError && ["ENOENT", "ENOTDIR"].includes(String(error.data["errno"])))
        return false;
      throw error;
    }
  }

  /**
   * A directory's entries, without "." and "..", sorted by name.
   *
   * @example
   * ```ts
   * for (const { name, type } of await machine.files.list("/home")) console.log(name, type); // guest directory
   * ```
   */
  async list(path: string): Promise<DirectoryEntry[]> {
    const entries = await this.#ask((agent) => agent.list(guestPath(path)));
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /**
   * Creates a directory.
   *
   * @param options `parents`: also the directories above, and no failure when it exists. `mode`: default 0o755.
   *
   * @example
   * ```ts
   * await machine.files.mkdir("/srv/data/in", { parents: true });
   * console.log(await machine.files.exists("/srv/data")); // true
   * ```
   */
  mkdir(path: string, options: { parents?: boolean; mode?: number } = {}): Promise<void> {
    return this.#ask((agent) => agent.mkdir(guestPath(path), options));
  }

  /**
   * Removes a file, a link or an empty directory.
   *
   * @param options `recursive`: also a directory with its content. `force`: no failure when there is nothing.
   *
   * @example
   * ```ts
   * await machine.files.remove("/srv/old", { recursive: true, force: true });
   * console.log(await machine.files.exists("/srv/old")); // false
   * ```
   */
  remove(path: string, options: { recursive?: boolean; force?: boolean } = {}): Promise<void> {
    return this.#ask((agent) => agent.remove(guestPath(path), options));
  }

  /**
   * Moves within one file system; replaces a file at the new path.
   *
   * @example
   * ```ts
   * await machine.files.write("/tmp/draft", "text");
   * await machine.files.rename("/tmp/draft", "/tmp/final");
   * console.log(await machine.files.readText("/tmp/final")); // text
   * ```
   */
  rename(from: string, to: string): Promise<void> {
    return this.#ask((agent) => agent.rename(guestPath(from), guestPath(to)));
  }

  /**
   * Sets a path's permission bits, set-id and sticky bits included; follows symbolic links.
   *
   * @example
   * ```ts
   * await machine.files.write("/tmp/secret", "x");
   * await machine.files.chmod("/tmp/secret", 0o600);
   * console.log((await machine.files.stat("/tmp/secret")).mode.toString(8)); // 600
   * ```
   */
  chmod(path: string, mode: number): Promise<void> {
    return this.#ask((agent) => agent.chmod(guestPath(path), mode));
  }

  /**
   * Sets a path's owner and group, by number.
   *
   * @example
   * ```ts
   * await machine.files.write("/tmp/mine", "x");
   * await machine.files.chown("/tmp/mine", { uid: 1000, gid: 1000 });
   * console.log((await machine.files.stat("/tmp/mine")).uid); // 1000
   * ```
   */
  chown(path: string, owner: { uid: number; gid: number }): Promise<void> {
    return this.#ask((agent) => agent.chown(guestPath(path), owner.uid, owner.gid));
  }

  /**
   * Creates a symbolic link at `path` that says `target`.
   *
   * @example
   * ```ts
   * await machine.files.symlink("/bin/busybox", "/tmp/shortcut");
   * console.log((await machine.files.stat("/tmp/shortcut")).type); // symlink
   * ```
   */
  symlink(target: string, path: string): Promise<void> {
    return this.#ask((agent) => agent.symlink(target, guestPath(path)));
  }

  /**
   * A tar stream (pax) of a file, or of what is in a directory.
   *
   * @example
   * ```ts
   * const { createWriteStream } = await import("node:fs");
   * const { pipeline } = await import("node:stream/promises");
   * await pipeline(machine.files.readTar("/etc"), createWriteStream("etc.tar"));
   * ```
   */
  async *readTar(path: string): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#link.agent().readTar(guestPath(path));
    } catch (error) {
      throw await this.#link.explain(error);
    }
  }

  /**
   * Unpacks a tar stream into an existing directory; its entries can not leave that directory.
   *
   * @example
   * ```ts
   * // A copy within the machine, by way of this process.
   * await machine.files.mkdir("/tmp/copy-of-etc");
   * await machine.files.writeTar("/tmp/copy-of-etc", machine.files.readTar("/etc"));
   * console.log(await machine.files.exists("/tmp/copy-of-etc/passwd")); // true
   * ```
   */
  writeTar(path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
    return this.#ask((agent) => agent.writeTar(guestPath(path), content));
  }

  /**
   * Copies a file or a directory of this host into the machine, by `cp -r`'s rule: into `guest` when that is a
   * directory, else to that name. Permission bits are kept; owners become root.
   *
   * @example
   * ```ts
   * await machine.files.copyIn("package.json", "/tmp");
   * console.log(await machine.files.exists("/tmp/package.json")); // true
   * ```
   */
  async copyIn(host: string, guest: string): Promise<void> {
    const { copyIn } = await import("./host-copy.ts");
    return copyIn(this, host, guestPath(guest));
  }

  /**
   * Copies a file or a directory of the machine to this host, by the same rule. Owners and set-id bits are not kept.
   *
   * @example
   * ```ts
   * await machine.shell("mkdir -p /srv/results && echo 42 >/srv/results/answer");
   * await machine.files.copyOut("/srv/results", "results");
   * ```
   */
  async copyOut(guest: string, host: string): Promise<void> {
    const { copyOut } = await import("./host-copy.ts");
    return copyOut(this, guestPath(guest), host);
  }

  async #write(
    path: string,
    content: FileContent,
    options: { mode?: number | undefined; parents?: boolean | undefined; append?: boolean },
  ): Promise<void> {
    const target = guestPath(path);
    const parent = target.slice(0, target.lastIndexOf("/"));
    if (options.parents === true && parent !== "") await this.mkdir(parent, { parents: true });
    await this.#ask((agent) =>
      agent.writeFile(target, pieces(content), {
        ...(options.mode === undefined ? {} : { mode: options.mode }),
        ...(options.append === undefined ? {} : { append: options.append }),
      }),
    );
  }

  async #ask<Result>(request: (agent: Agent) => Promise<Result>): Promise<Result> {
    try {
      return await request(this.#link.agent());
    } catch (error) {
      throw await this.#link.explain(error);
    }
  }
}

function guestPath(path: string): string {
  if (typeof path !== "string" || !path.startsWith("/") || path.includes("\0"))
    throw new SupermachineError("INVALID_ARGUMENT", `The guest path '${path}' is not absolute`, {
      hint: "Start it with '/'",
    });
  return path;
}

async function* pieces(content: FileContent): AsyncGenerator<Uint8Array> {
  if (typeof content === "string") yield* cut(new TextEncoder().encode(content));
  else if (content instanceof Uint8Array) yield* cut(content);
  else
    for await (const chunk of content as AsyncIterable<Uint8Array | string>)
      yield* cut(typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk);
}

function* cut(bytes: Uint8Array): Generator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += pieceBytes)
    yield bytes.subarray(offset, offset + pieceBytes);
}
