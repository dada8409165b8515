import type { ByteSource, DirectoryNode, Extent, FileNode, NodeMetadata, TreeNode } from "../../tree.ts";

/** Metadata with plain values, of which a test names those that matter to it. */
export function metadata(values: Partial<NodeMetadata> = {}): NodeMetadata {
  return { mode: 0o644, uid: 0, gid: 0, mtime: { seconds: 0, nanoseconds: 0 }, xattrs: new Map(), ...values };
}

export function directory(
  entries: Record<string, TreeNode>,
  values: Partial<NodeMetadata> = {},
): DirectoryNode {
  return {
    type: "directory",
    entries: new Map(Object.entries(entries)),
    ...metadata({ mode: 0o755, ...values }),
  };
}

/** A file whose bytes are a text or are made up from a seed; given as lengths of data and offsets, or whole. */
export function file(
  content: string | { size: number; extents: readonly [offset: number, length: number][]; seed?: number },
  values: Partial<NodeMetadata> = {},
): FileNode {
  if (typeof content !== "string") {
    const source = patternSource(content.seed ?? 1);
    const extents = content.extents.map(
      ([offset, length]): Extent => ({ offset, length, source, position: offset }),
    );
    return { type: "file", size: content.size, extents, ...metadata(values) };
  }
  const bytes = new TextEncoder().encode(content);
  const source: ByteSource = {
    read: (position, into) => into.set(bytes.subarray(position, position + into.length)),
  };
  const extents: Extent[] =
    bytes.length === 0 ? [] : [{ offset: 0, length: bytes.length, source, position: 0 }];
  return { type: "file", size: bytes.length, extents, ...metadata(values) };
}

/** Endless bytes that differ by position and seed, and are never zero. */
export function patternSource(seed: number): ByteSource {
  return {
    read(position, into) {
      for (let index = 0; index < into.length; index++) {
        const at = position + index;
        into[index] = 1 + ((Math.imul((at % 0x1_0000_0000) + seed, 0x9e3779b1) >>> 24) % 255);
      }
    },
  };
}
