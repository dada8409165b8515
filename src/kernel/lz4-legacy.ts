/**
 * The LZ4 "legacy frame" that Linux kernels are compressed with (LZ4 frame format, "Legacy frame"; LZ4 block format):
 * a magic number, then blocks, each with its compressed length and decompressing to 8 MiB or, the last, to less.
 *
 * @throws RangeError when the data is damaged or does not give exactly `length` bytes.
 */
export function decodeLz4Legacy(frame: Uint8Array, length: number): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < 4 || view.getUint32(0, true) !== legacyMagic)
    throw new RangeError("Not a legacy LZ4 frame");
  const output = new Uint8Array(length);
  let written = 0;
  for (let at = 4; at + 4 <= frame.length; ) {
    const blockLength = view.getUint32(at, true);
    at += 4;
    if (blockLength > frame.length - at) throw new RangeError("An LZ4 block is longer than its frame");
    written = decodeBlock(frame.subarray(at, at + blockLength), output, written);
    at += blockLength;
  }
  if (written !== length) throw new RangeError(`The LZ4 frame holds ${written} bytes, not ${length}`);
  return output;
}

const legacyMagic = 0x184c2102;

/** Decodes a block behind what `output` already holds; returns the new end. */
function decodeBlock(block: Uint8Array, output: Uint8Array, start: number): number {
  let read = 0;
  let written = start;
  const next = (): number => {
    const byte = block[read++];
    if (byte === undefined) throw new RangeError("An LZ4 block ends in the middle of a sequence");
    return byte;
  };
  const longLength = (nibble: number): number => {
    let total = nibble;
    for (let more = nibble === 15; more; ) {
      const byte = next();
      total += byte;
      more = byte === 255;
    }
    return total;
  };
  while (read < block.length) {
    const token = next();
    const literals = longLength(token >> 4);
    if (literals > block.length - read || literals > output.length - written)
      throw new RangeError("An LZ4 literal run is too long");
    output.set(block.subarray(read, read + literals), written);
    read += literals;
    written += literals;
    // The last sequence of a block has literals only.
    if (read === block.length) break;
    const distance = next() | (next() << 8);
    const match = longLength(token & 15) + 4;
    if (distance === 0 || distance > written - start || match > output.length - written)
      throw new RangeError("An LZ4 match lies outside its block");
    written = copyMatch(output, written, { distance, length: match });
  }
  return written;
}

function copyMatch(output: Uint8Array, at: number, match: { distance: number; length: number }): number {
  const end = at + match.length;
  if (match.distance >= match.length) {
    output.copyWithin(at, at - match.distance, end - match.distance);
    return end;
  }
  // Overlapping: the bytes just written are the source of the next ones.
  for (let to = at; to < end; to++) output[to] = output[to - match.distance] ?? 0;
  return end;
}
