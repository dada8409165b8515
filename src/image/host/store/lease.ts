import { open, readdir, readFile, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import * as v from "valibot";
import type { Home } from "../../../storage/home.ts";
import { createTemporary, sweepTemporary, type Temporary } from "../../../storage/temporary.ts";
import { digestSchema } from "../../digest-schema.ts";
import type { Digest } from "../../image.ts";

/**
 * Keeps blobs from being collected while a pull is under way and no image refers to them yet. A lease is a file that
 * dies with its process. The order makes it safe without locks: a pull adds a digest *before* it looks whether the
 * blob is there; the collector first moves a blob aside, *then* looks for leases, and puts it back when it finds one.
 */
export class Lease implements AsyncDisposable {
  readonly #home: Home;
  readonly #file: Temporary;
  readonly #digests = new Set<Digest>();

  constructor(home: Home) {
    this.#home = home;
    this.#file = createTemporary(home, "lease");
  }

  async add(digests: Iterable<Digest>): Promise<void> {
    for (const digest of digests) this.#digests.add(digest);
    using next = createTemporary(this.#home, "blob");
    {
      await using file = await open(next.path, "wx", 0o600);
      await file.writeFile(JSON.stringify([...this.#digests]));
    }
    await rename(next.path, this.#file.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#file.path, { force: true });
  }
}

/** Digests that pulls under way, in any process, rely on. */
export async function leasedDigests(home: Home): Promise<Set<Digest>> {
  await sweepTemporary(home);
  const digests = new Set<Digest>();
  for (const name of await readdir(home.temporary).catch(() => [])) {
    if (!basename(name).startsWith("lease.")) continue;
    // A lease that is gone by now has become an image, or its pull has failed.
    const text = await readFile(join(home.temporary, name), "utf8").catch(() => "[]");
    const parsed = v.safeParse(schema, JSON.parse(text));
    if (parsed.success) for (const digest of parsed.output) digests.add(digest);
  }
  return digests;
}

const schema = v.array(digestSchema);
