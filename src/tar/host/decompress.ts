import { closeSync, createReadStream, openSync, readSync } from "node:fs";
import type { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import zlib from "node:zlib";
import { Decompress } from "fzstd";
import { errnoOf } from "../../errors/system-failure.ts";
import { archiveError } from "../archive-error.ts";
import type { Compression } from "../compression.ts";
import { ZstdFrameGuard } from "../zstd-frame-guard.ts";

export interface Decompression {
  readonly compression: Compression;
  /** Gets the uncompressed bytes in order, and must be done with them when it returns; what it throws ends the work. */
  readonly onBytes: (bytes: Uint8Array) => void;
  /** Bytes of the file that have been read so far. */
  readonly onRead?: ((bytes: number) => void) | undefined;
}

/**
 * Reads a file and hands on its uncompressed bytes. Throws ARCHIVE_INVALID when the compressed data is damaged or cut
 * short. Output is handed on at once, never collected: a few bytes can stand for gigabytes.
 */
export async function decompressFile(
  path: string,
  { compression, onBytes, onRead }: Decompression,
): Promise<void> {
  if (compression === "none") {
    readPlain(path, { onBytes, onRead });
    return;
  }
  const input = createReadStream(path, { highWaterMark: readBytes });
  const handOn = consumer(onBytes);
  let read = 0;
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of input as AsyncIterable<Uint8Array>) {
      read += chunk.length;
      onRead?.(read);
      yield chunk;
    }
  };
  try {
    if (compression === "zstd") await decodeZstd(counted(), handOn.write);
    else
      await pipeline(counted, zlib.createGunzip({ chunkSize: readBytes }), async (chunks) => {
        for await (const chunk of chunks as AsyncIterable<Uint8Array>) handOn.write(chunk);
      });
  } catch (error) {
    if (handOn.failure !== undefined) throw handOn.failure.error;
    // Decoders have many ways to say that their input is damaged; all other failures come from the system.
    if (errnoOf(error) !== undefined) throw error;
    throw archiveError(`is damaged or not ${compression} data`, { cause: error });
  } finally {
    input.destroy();
  }
}

const readBytes = 128 * 1024;

/** One buffer and no waiting: nothing else wants this thread, and streams would cost as much as the hashing. */
function readPlain(path: string, { onBytes, onRead }: Omit<Decompression, "compression">): void {
  const fd = openSync(path, "r");
  try {
    const buffer = new Uint8Array(readBytes);
    let read = 0;
    for (;;) {
      const count = readSync(fd, buffer, 0, buffer.length, read);
      if (count === 0) return;
      read += count;
      onRead?.(read);
      onBytes(buffer.subarray(0, count));
    }
  } finally {
    closeSync(fd);
  }
}

/** Remembers what `onBytes` threw, which would otherwise pass for the decoder's failure. */
function consumer(onBytes: (bytes: Uint8Array) => void): {
  write: (bytes: Uint8Array) => void;
  failure: { error: unknown } | undefined;
} {
  const state = {
    failure: undefined as { error: unknown } | undefined,
    write(bytes: Uint8Array): void {
      try {
        onBytes(bytes);
      } catch (error) {
        state.failure ??= { error };
        throw error;
      }
    },
  };
  return state;
}

/**
 * Node 22.15 and later have zstd in zlib. It stops silently at the end of a frame when more follows in the same piece,
 * which the guard's cuts prevent; layers of several frames are common (zstd:chunked).
 */
const nativeZstd = (zlib as { createZstdDecompress?: (options: { chunkSize: number }) => Transform })
  .createZstdDecompress;

async function decodeZstd(
  chunks: AsyncIterable<Uint8Array>,
  write: (bytes: Uint8Array) => void,
): Promise<void> {
  const guard = new ZstdFrameGuard();
  const pieces = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) yield* guard.split(chunk);
    guard.finish();
  };
  if (nativeZstd !== undefined) {
    await pipeline(
      pieces,
      nativeZstd({ chunkSize: readBytes }),
      async (output: AsyncIterable<Uint8Array>) => {
        for await (const chunk of output) write(chunk);
      },
    );
    return;
  }
  const decoder = new Decompress(write);
  for await (const piece of pieces()) decoder.push(piece);
  decoder.push(new Uint8Array(0), true);
}
