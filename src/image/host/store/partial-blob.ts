import { createHash, type Hash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Home } from "../../../storage/home.ts";
import {
  formatIdentity,
  identifyProcess,
  isAbandoned,
  parseIdentity,
} from "../../../storage/process-identity.ts";
import { digestParts } from "../../digest.ts";
import type { Digest } from "../../image.ts";
import type { Descriptor } from "../../manifest.ts";
import { type ContentStore, checkBlob } from "./content-store.ts";

/**
 * A blob on its way into the store that survives being cut short, even by the death of its process. It lies in
 * `partial/<hex>.<owner>.<random>`; whoever wants the same blob later claims what a dead or finished owner left by
 * renaming it, which only one can. The bytes of a claimed file are hashed anew, and nothing is trusted before the
 * digest of the whole matches.
 */
export class PartialBlob implements AsyncDisposable {
  readonly #store: ContentStore;
  readonly #descriptor: Descriptor;
  readonly #path: string;
  readonly #file: FileHandle;
  #hash: Hash;
  #length: number;

  private constructor(store: ContentStore, descriptor: Descriptor, opened: Opened) {
    this.#store = store;
    this.#descriptor = descriptor;
    this.#path = opened.path;
    this.#file = opened.file;
    this.#hash = opened.hash;
    this.#length = opened.length;
  }

  /** Claims the longest piece that lies ready, or starts with an empty one. */
  static async open(store: ContentStore, descriptor: Descriptor): Promise<PartialBlob> {
    await mkdir(store.home.partials, { recursive: true, mode: 0o700 });
    const path = ownPath(store.home, descriptor.digest);
    await claimLongest(store.home, descriptor, path);
    const file = await open(path, "a", 0o600);
    try {
      const hash = createHash(digestParts(descriptor.digest).algorithm);
      let length = 0;
      for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
        hash.update(chunk);
        length += (chunk as Uint8Array).length;
      }
      return new PartialBlob(store, descriptor, { path, file, hash, length });
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Bytes that are here already. */
  get length(): number {
    return this.#length;
  }

  /** Of several that are being written to at once, one is to go on: all of them see the same one. */
  async isFirst(): Promise<boolean> {
    const active = (await listPartials(this.#store.home, this.#descriptor.digest)).filter(
      (file) => file.active,
    );
    const paths = active.map(({ path }) => path).sort();
    return paths[0] === this.#path;
  }

  async append(chunk: Uint8Array): Promise<void> {
    await this.#file.appendFile(chunk);
    this.#hash.update(chunk);
    this.#length += chunk.length;
  }

  /** Forgets what is here. */
  async restart(): Promise<void> {
    await this.#file.truncate(0);
    this.#hash = createHash(digestParts(this.#descriptor.digest).algorithm);
    this.#length = 0;
  }

  /** Checks the whole and puts it into the store; a wrong one is forgotten. */
  async finish(): Promise<void> {
    const { digest, size } = this.#descriptor;
    const actual = `${digestParts(digest).algorithm}:${this.#hash.copy().digest("hex")}` as Digest;
    try {
      checkBlob({ digest: actual, size: this.#length }, { digest, size });
    } catch (error) {
      await this.restart();
      throw error;
    }
    await this.#file.sync();
    await this.#store.publish(this.#path, digest);
  }

  /** Leaves what is here for the next one who wants the blob. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
    if (this.#length === 0) await rm(this.#path, { force: true });
    else
      await rename(this.#path, releasedPath(this.#store.home, this.#descriptor.digest)).catch(
        () => undefined,
      );
  }
}

/** What lies in the folder of partial blobs. */
export interface PartialFile {
  readonly name: string;
  readonly path: string;
  readonly hex: string;
  readonly size: number;
  readonly modifiedMs: number;
  /** A running process is writing it. */
  readonly active: boolean;
}

/** The partial blobs, of one digest when given. */
export async function listPartials(home: Home, digest?: Digest): Promise<PartialFile[]> {
  const names = await readdir(home.partials).catch(() => []);
  const files: PartialFile[] = [];
  for (const name of names) {
    const [, hex, owner] = /^([0-9a-f]{64,128})\.(.+)\.[0-9a-f]{12}$/.exec(name) ?? [];
    if (hex === undefined || owner === undefined) continue;
    if (digest !== undefined && digestParts(digest).hex !== hex) continue;
    const path = join(home.partials, name);
    const info = await stat(path).catch(() => undefined);
    if (info === undefined) continue;
    const process = parseIdentity(owner);
    const active = process !== undefined && !(await isAbandoned(path, process));
    files.push({ name, path, hex, size: info.size, modifiedMs: info.mtimeMs, active });
  }
  return files;
}

interface Opened {
  readonly path: string;
  readonly file: FileHandle;
  readonly hash: Hash;
  readonly length: number;
}

function ownPath(home: Home, digest: Digest): string {
  return join(home.partials, `${digestParts(digest).hex}.${formatIdentity(identifyProcess())}.${token()}`);
}

function releasedPath(home: Home, digest: Digest): string {
  return join(home.partials, `${digestParts(digest).hex}.released.${token()}`);
}

function token(): string {
  return randomBytes(6).toString("hex");
}

/** Several may lie there after several cut downloads; the others are of no more use. */
async function claimLongest(home: Home, descriptor: Descriptor, target: string): Promise<void> {
  const files = (await listPartials(home, descriptor.digest)).filter((file) => !file.active);
  files.sort((a, b) => b.size - a.size);
  let claimed = false;
  for (const file of files) {
    if (claimed || file.size > descriptor.size) await rm(file.path, { force: true });
    else
      claimed = await rename(file.path, target).then(
        () => true,
        () => false,
      );
  }
}
