import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { systemFailure } from "../../../errors/system-failure.ts";
import type { Home } from "../../../storage/home.ts";
import { createTemporary } from "../../../storage/temporary.ts";
import { digestSchema } from "../../digest-schema.ts";
import type { Digest, Platform } from "../../image.ts";
import { formatPlatform } from "../../platform.ts";

/** What a name stands for on one platform. */
export interface ImageRecord {
  /** Canonical name. */
  readonly reference: string;
  readonly platform: Platform;
  /** What the name resolved to: the manifest, or the index that it was chosen from. */
  readonly rootDigest: Digest;
  readonly manifestDigest: Digest;
  readonly configDigest: Digest;
  /** Every blob the image needs, indexes included. */
  readonly blobs: readonly Digest[];
  /** Bytes of those blobs. */
  readonly size: number;
  readonly pulledAtMs: number;
}

/**
 * The names of images: one small file per name and platform in `images/`, replaced as a whole, so that processes can
 * work on it at once without locks. A file that cannot be read counts as absent: pulling writes it anew.
 */
export class ImageIndex {
  readonly #home: Home;

  constructor(home: Home) {
    this.#home = home;
  }

  list(): ImageRecord[] {
    return this.#files()
      .map(readRecord)
      .filter((record) => record !== undefined)
      .sort((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1));
  }

  #files(): string[] {
    try {
      const names = readdirSync(this.#home.images).filter((name) => name.endsWith(".json"));
      return names.map((name) => join(this.#home.images, name));
    } catch {
      return [];
    }
  }

  /** The record of this canonical name for exactly this platform, without a look at the others. */
  get(reference: string, platform: Platform): ImageRecord | undefined {
    const record = readRecord(this.#path(reference, platform));
    return record?.reference === reference ? record : undefined;
  }

  async put(record: ImageRecord): Promise<void> {
    try {
      await mkdir(this.#home.images, { recursive: true, mode: 0o700 });
      using temporary = createTemporary(this.#home, "image");
      {
        await using file = await open(temporary.path, "wx", 0o600);
        await file.writeFile(JSON.stringify(record, undefined, 2));
        await file.sync();
      }
      await rename(temporary.path, this.#path(record.reference, record.platform));
    } catch (error) {
      throw systemFailure(error, `Recording image '${record.reference}' in`, this.#home.images);
    }
  }

  async remove(record: ImageRecord): Promise<void> {
    await rm(this.#path(record.reference, record.platform), { force: true });
  }

  /** Names may be longer than a file name may be, so the file is named by a hash and says the name inside. */
  #path(reference: string, platform: Platform): string {
    const key = `${reference}\n${formatPlatform(platform)}`;
    return join(this.#home.images, `${createHash("sha256").update(key).digest("hex").slice(0, 32)}.json`);
  }
}

/** Part of every start, so without a detour over other threads. */
function readRecord(path: string): ImageRecord | undefined {
  try {
    const result = v.safeParse(schema, JSON.parse(readFileSync(path, "utf8")));
    return result.success ? result.output : undefined;
  } catch {
    return undefined;
  }
}

function sortKey(record: ImageRecord): string {
  return `${record.reference} ${formatPlatform(record.platform)}`;
}

const schema = v.object({
  reference: v.string(),
  platform: v.object({ os: v.string(), architecture: v.string(), variant: v.exactOptional(v.string()) }),
  rootDigest: digestSchema,
  manifestDigest: digestSchema,
  configDigest: digestSchema,
  blobs: v.array(digestSchema),
  size: v.number(),
  pulledAtMs: v.number(),
});
