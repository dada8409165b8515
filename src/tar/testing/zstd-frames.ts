// Makes zstd frames without a compressor, for tests: RFC 8878 with raw and run-length blocks only.

import { concat } from "./tar-builder.ts";

export interface ZstdFrame {
  readonly blocks: readonly ZstdBlock[];
  /** The window descriptor byte; default 1 MiB. */
  readonly window?: number;
}

/** Bytes as they are, or one byte repeated. */
export type ZstdBlock = Uint8Array | { readonly byte: number; readonly count: number };

export function zstdFrame({ blocks, window = 10 << 3 }: ZstdFrame): Uint8Array {
  return concat(
    Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, window),
    ...blocks.map((block, index) => zstdBlock(block, index === blocks.length - 1)),
  );
}

/** A frame that decoders pass over. */
export function skippableFrame(length: number): Uint8Array {
  return concat(
    Uint8Array.of(0x5a, 0x2a, 0x4d, 0x18, length & 0xff, length >> 8, 0, 0),
    new Uint8Array(length),
  );
}

/** Data in blocks of at most 100,000 bytes. */
export function zstdOf(data: Uint8Array): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (let at = 0; at === 0 || at < data.length; at += 100_000) blocks.push(data.subarray(at, at + 100_000));
  return zstdFrame({ blocks });
}

function zstdBlock(block: ZstdBlock, isLast: boolean): Uint8Array {
  const isRaw = block instanceof Uint8Array;
  const head = ((isRaw ? block.length : block.count) << 3) | (isRaw ? 0 : 2) | (isLast ? 1 : 0);
  return concat(
    Uint8Array.of(head & 0xff, (head >> 8) & 0xff, (head >> 16) & 0xff),
    isRaw ? block : Uint8Array.of(block.byte),
  );
}
