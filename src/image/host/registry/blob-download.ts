import { setTimeout as sleep } from "node:timers/promises";
import type { Response } from "undici";
import { SupermachineError } from "../../../errors/supermachine-error.ts";
import { systemFailure } from "../../../errors/system-failure.ts";
import { shortDigest } from "../../digest.ts";
import type { Descriptor } from "../../manifest.ts";
import type { ContentStore } from "../store/content-store.ts";
import { listPartials, PartialBlob } from "../store/partial-blob.ts";
import { connectionFailure, discardBody, protocolError } from "./http-client.ts";
import type { BlobBody, RegistryClient } from "./registry-client.ts";
import { aborted, TransientError } from "./retry.ts";

export interface DownloadOptions {
  readonly client: RegistryClient;
  readonly store: ContentStore;
  readonly signal: AbortSignal;
  /** Bytes that are here by now. */
  readonly onLength: (length: number) => void;
}

/**
 * Brings a blob into the store: waits when somebody else is already fetching it, goes on where an earlier download
 * was cut short, and starts over once when such a piece turns out to be bad.
 */
export async function downloadBlob(descriptor: Descriptor, options: DownloadOptions): Promise<void> {
  for (;;) {
    const others = await waitForOthers(descriptor, options);
    if (others === "done") return;
    if (await downloadUnlessSecond(descriptor, options, others === "none")) return;
  }
}

/** False when somebody else began at the same moment and goes first. */
async function downloadUnlessSecond(
  descriptor: Descriptor,
  options: DownloadOptions,
  mayYield: boolean,
): Promise<boolean> {
  const { store } = options;
  await using partial = await PartialBlob.open(store, descriptor).catch((error: unknown) => {
    throw systemFailure(error, `Storing blob ${shortDigest(descriptor.digest)} in`, store.home.partials);
  });
  if (mayYield && !(await partial.isFirst())) return false;
  const resumedFrom = partial.length;
  try {
    await transfer(descriptor, partial, options);
  } catch (error) {
    const isOldPiece =
      error instanceof SupermachineError && error.code === "DIGEST_MISMATCH" && resumedFrom > 0;
    if (!isOldPiece)
      throw systemFailure(error, `Storing blob ${shortDigest(descriptor.digest)} in`, store.home.partials);
    await partial.restart();
    await transfer(descriptor, partial, options);
  }
  return true;
}

/** How long to watch another download that does not move before doing it ourselves. */
const patienceMs = 10_000;

/** Watches other processes, or other pulls of this one, that fetch the blob: until it is here, or they stop. */
async function waitForOthers(
  descriptor: Descriptor,
  options: DownloadOptions,
): Promise<"done" | "none" | "stuck"> {
  const { store, signal, onLength } = options;
  let longest = -1;
  let movedAtMs = Date.now();
  for (;;) {
    const others = (await listPartials(store.home, descriptor.digest)).filter(({ active }) => active);
    if (others.length === 0) return store.has(descriptor.digest, descriptor.size) ? "done" : "none";
    const length = Math.max(...others.map(({ size }) => size));
    if (length > longest) {
      longest = length;
      movedAtMs = Date.now();
      onLength(Math.min(length, descriptor.size));
    } else if (Date.now() - movedAtMs > patienceMs) return "stuck";
    await sleep(100, undefined, { signal }).catch(() => {
      throw aborted(signal);
    });
  }
}

async function transfer(
  descriptor: Descriptor,
  partial: PartialBlob,
  options: DownloadOptions,
): Promise<void> {
  const { client, signal, onLength } = options;
  onLength(partial.length);
  // Whoever fetched it last was cut short just before its end, or the blob is empty.
  if (partial.length === descriptor.size) return partial.finish();
  await client.blob(descriptor, {
    offset: () => partial.length,
    signal,
    use: async (body) => {
      await receive(body, { descriptor, partial, onLength });
      await partial.finish();
    },
  });
}

async function receive(
  body: BlobBody,
  context: {
    readonly descriptor: Descriptor;
    readonly partial: PartialBlob;
    readonly onLength: (length: number) => void;
  },
): Promise<void> {
  const { descriptor, partial, onLength } = context;
  const { response, start, host } = body;
  const url = new URL(`https://${host}`);
  if (start !== partial.length) {
    // The server ignores the range, or has less than we do: what is here is not trusted any more.
    await partial.restart();
    onLength(0);
    if (start !== 0) {
      await discardBody(response);
      throw new TransientError(protocolError(url, "does not honour the byte range of a request"));
    }
  }
  for await (const chunk of chunksOf(response, url)) {
    if (partial.length + chunk.length > descriptor.size) {
      await partial.restart();
      throw tooLong(descriptor);
    }
    await partial.append(chunk);
    onLength(partial.length);
  }
  if (partial.length < descriptor.size)
    throw connectionFailure(url, new Error("The body ended before its announced length"));
}

/** The body; only what fails in reading it is a failure of the connection. */
async function* chunksOf(response: Response, url: URL): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for await (const chunk of response.body ?? []) yield chunk;
  } catch (error) {
    throw connectionFailure(url, error);
  }
}

function tooLong(descriptor: Descriptor): SupermachineError {
  return new SupermachineError(
    "DIGEST_MISMATCH",
    `Blob ${shortDigest(descriptor.digest)} has more than the ${descriptor.size} bytes announced`,
    { hint: "It was altered on its way or at its source; try again, or get the image elsewhere" },
  );
}
