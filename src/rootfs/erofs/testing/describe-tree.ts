import type { DirectoryNode, FileNode, TreeNode } from "../../tree.ts";
import { crc32c } from "../crc32c.ts";

/**
 * One line per directory entry, with everything that must survive: two trees are equal when their lines are. Links
 * to one inode show the path under which it comes first.
 */
export function describeTree(root: DirectoryNode, { xattrs = true }: { xattrs?: boolean } = {}): string[] {
  const lines: string[] = [];
  const firstPaths = new Map<TreeNode, string>();
  const pending: { path: string; node: TreeNode }[] = [{ path: "/", node: root }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { path, node } = next;
    const first = firstPaths.get(node);
    if (first !== undefined) {
      lines.push(`${JSON.stringify(path)} = ${JSON.stringify(first)}`);
      continue;
    }
    firstPaths.set(node, path);
    lines.push(`${JSON.stringify(path)} ${describeNode(node, xattrs)}`);
    if (node.type !== "directory") continue;
    for (const name of [...node.entries.keys()].sort().reverse()) {
      const child = node.entries.get(name);
      if (child !== undefined)
        pending.push({ path: path === "/" ? `/${name}` : `${path}/${name}`, node: child });
    }
  }
  return lines;
}

function describeNode(node: TreeNode, withXattrs: boolean): string {
  const { type, mode, uid, gid, mtime } = node;
  const xattrs = [...(withXattrs ? node.xattrs : [])]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`);
  return JSON.stringify([
    type,
    mode,
    uid,
    gid,
    mtime.seconds,
    mtime.nanoseconds,
    xattrs,
    describeContent(node),
  ]);
}

function describeContent(node: TreeNode): unknown {
  switch (node.type) {
    case "file":
      return [node.size, contentChecksum(node)];
    case "symlink":
      return node.target;
    case "character-device":
    case "block-device":
      return [node.major, node.minor];
    default:
      return undefined;
  }
}

/** A checksum over the positions and values of all 512-byte pieces that are not zero: holes cost nothing. */
function contentChecksum({ extents, size }: FileNode): number {
  const pieceLength = 512;
  const piece = new Uint8Array(pieceLength);
  let sum = 0;
  let current = -1;
  const close = (): void => {
    if (current >= 0 && piece.some((byte) => byte !== 0))
      sum = crc32c(crc32c(sum, new Uint8Array(Float64Array.of(current).buffer)), piece);
    piece.fill(0);
  };
  for (const { offset, length, source, position } of extents)
    for (let at = offset; at < offset + length; ) {
      const index = Math.floor(at / pieceLength);
      if (index !== current) {
        close();
        current = index;
      }
      const end = Math.min(offset + length, (index + 1) * pieceLength, size);
      source.read(
        position + at - offset,
        piece.subarray(at - index * pieceLength, end - index * pieceLength),
      );
      at = end;
    }
  close();
  return sum;
}
