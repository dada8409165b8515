import { createHash } from "node:crypto";
import { createReadStream, readFileSync, type Stats, statSync } from "node:fs";
import { chmod, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { SupermachineError } from "../../../errors/supermachine-error.ts";
import { errnoOf, systemFailure } from "../../../errors/system-failure.ts";
import type { Home } from "../../../storage/home.ts";
import { createTemporary } from "../../../storage/temporary.ts";
import { digestParts, isDigest, shortDigest } from "../../digest.ts";
import type { Digest } from "../../image.ts";

/** What a blob must be; a part that is not known beforehand is absent. */
export interface Expected {
  readonly digest?: Digest;
  readonly size?: number;
}

export interface StoredBlob {
  readonly digest: Digest;
  readonly size: number;
}

/**
 * Blobs by digest, in `blobs/<algorithm>/<hex>` of the home. A blob gets its name only after it has been written to
 * the end, verified and synced, so that any process may read what it finds there, and two that store the same blob
 * at once both win. What changed on the disk afterwards is noticed: the size by `has`, the content by `read` and
 * `verify`. `has` and `read` are part of every start, so without a detour over other threads.
 */
export class ContentStore {
  readonly home: Home;

  constructor(home: Home) {
    this.home = home;
  }

  path(digest: Digest): string {
    const { algorithm, hex } = digestParts(digest);
    return join(this.home.blobs, algorithm, hex);
  }

  /** Whether the blob is here, with this size where one is given. */
  has(digest: Digest, size?: number): boolean {
    const info = infoOf(this.path(digest));
    return info?.isFile() === true && (size === undefined || info.size === size);
  }

  /** A small blob, verified. Undefined when it is missing, longer than `maximumLength`, or not what its name says. */
  read(digest: Digest, maximumLength: number): Uint8Array | undefined {
    const path = this.path(digest);
    const info = infoOf(path);
    if (info === undefined || info.size > maximumLength) return undefined;
    try {
      const bytes = readFileSync(path);
      return digestOf(bytes, digest) === digest ? bytes : undefined;
    } catch {
      return undefined;
    }
  }

  /** Whether the whole content matches the digest. */
  async verify(digest: Digest): Promise<boolean> {
    const hash = createHash(digestParts(digest).algorithm);
    try {
      for await (const chunk of createReadStream(this.path(digest), { highWaterMark: 1 << 20 }))
        hash.update(chunk);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return false;
      throw systemFailure(error, "Reading blob", this.path(digest));
    }
    return `${digestParts(digest).algorithm}:${hash.digest("hex")}` === digest;
  }

  /** Stores bytes that are in memory. */
  async write(bytes: Uint8Array, expected: Expected = {}): Promise<StoredBlob> {
    return this.ingest([bytes], expected);
  }

  /**
   * Stores what `source` yields; stops reading as soon as it is longer than expected.
   *
   * @throws SupermachineError `DIGEST_MISMATCH`, `NO_SPACE`, `PERMISSION_DENIED`
   */
  async ingest(
    source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    expected: Expected,
  ): Promise<StoredBlob> {
    using temporary = createTemporary(this.home, "blob");
    const algorithm = expected.digest === undefined ? "sha256" : digestParts(expected.digest).algorithm;
    const hash = createHash(algorithm);
    let size = 0;
    try {
      await using file = await open(temporary.path, "wx", 0o600);
      for await (const chunk of source) {
        size += chunk.length;
        if (expected.size !== undefined && size > expected.size) throw wrongSize(expected, size);
        hash.update(chunk);
        await file.writeFile(chunk);
      }
      const digest = `${algorithm}:${hash.digest("hex")}` as Digest;
      checkBlob({ digest, size }, expected);
      await file.sync();
      await this.publish(temporary.path, digest);
      return { digest, size };
    } catch (error) {
      throw systemFailure(error, "Storing a part of the image in", this.home.blobs);
    }
  }

  /** Gives a finished, verified and synced file on the same file system its place. */
  async publish(path: string, digest: Digest): Promise<void> {
    const target = this.path(digest);
    await mkdir(join(target, ".."), { recursive: true, mode: 0o700 });
    await chmod(path, 0o400);
    await rename(path, target);
  }

  async remove(digest: Digest): Promise<void> {
    await rm(this.path(digest), { force: true });
  }

  /** Every blob in the store. */
  async list(): Promise<Digest[]> {
    const digests: Digest[] = [];
    for (const algorithm of ["sha256", "sha512"]) {
      const names = await readdir(join(this.home.blobs, algorithm)).catch(() => []);
      for (const name of names) {
        const digest = `${algorithm}:${name}`;
        if (isDigest(digest)) digests.push(digest);
      }
    }
    return digests;
  }
}

function infoOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** The digest of bytes in memory, by the algorithm of `like`. */
export function digestOf(bytes: Uint8Array, like?: Digest): Digest {
  const algorithm = like === undefined ? "sha256" : digestParts(like).algorithm;
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}` as Digest;
}

/** Throws `DIGEST_MISMATCH` unless `actual` is what was expected. */
export function checkBlob(actual: StoredBlob, expected: Expected): void {
  if (expected.size !== undefined && actual.size !== expected.size) throw wrongSize(expected, actual.size);
  if (expected.digest !== undefined && actual.digest !== expected.digest)
    throw new SupermachineError(
      "DIGEST_MISMATCH",
      `Content of blob ${shortDigest(expected.digest)} does not match its digest`,
      {
        hint: "It was altered on its way or at its source; try again, or get the image elsewhere",
        data: { expected: expected.digest, actual: actual.digest },
      },
    );
}

function wrongSize(expected: Expected, actual: number): SupermachineError {
  const name = expected.digest === undefined ? "A blob" : `Blob ${shortDigest(expected.digest)}`;
  return new SupermachineError(
    "DIGEST_MISMATCH",
    `${name} has ${actual > (expected.size ?? 0) ? "more" : "fewer"} than the ${expected.size} bytes announced`,
    {
      hint: "It was altered on its way or at its source; try again, or get the image elsewhere",
      data: { expected: expected.digest, expectedSize: expected.size },
    },
  );
}
