import fs from "node:fs";
import type { ByteSource, ByteString, DirectoryNode, Timestamp, TreeNode } from "../../src/rootfs/tree.ts";

/** Reads a directory of this machine as a tree; without extended attributes, which Node cannot read. */
export function directoryTree(path: string): DirectoryNode {
  return readDirectory(Buffer.from(path), new Map());
}

function readDirectory(path: Buffer, byInode: Map<string, TreeNode>): DirectoryNode {
  const entries = new Map<ByteString, TreeNode>();
  for (const name of fs.readdirSync(path, "buffer")) {
    const child = Buffer.concat([path, Buffer.from("/"), name]);
    entries.set(name.toString("latin1"), readNode(child, byInode));
  }
  return { type: "directory", entries, ...metadata(fs.lstatSync(path, { bigint: true })) };
}

function readNode(path: Buffer, byInode: Map<string, TreeNode>): TreeNode {
  const stat = fs.lstatSync(path, { bigint: true });
  if (stat.isDirectory()) return readDirectory(path, byInode);
  const key = `${stat.dev}:${stat.ino}`;
  const known = stat.nlink > 1n ? byInode.get(key) : undefined;
  if (known !== undefined) return known;
  const node = makeNode(path, stat);
  byInode.set(key, node);
  return node;
}

function makeNode(path: Buffer, stat: fs.BigIntStats): TreeNode {
  const common = metadata(stat);
  if (stat.isSymbolicLink())
    return { type: "symlink", target: fs.readlinkSync(path, "buffer").toString("latin1"), ...common };
  if (stat.isFile()) {
    const size = Number(stat.size);
    const extents = size === 0 ? [] : [{ offset: 0, length: size, source: fileSource(path), position: 0 }];
    return { type: "file", size, extents, ...common };
  }
  if (stat.isFIFO()) return { type: "fifo", ...common };
  if (stat.isSocket()) return { type: "socket", ...common };
  const major = Number((stat.rdev >> 8n) & 0xfffn);
  const minor = Number((stat.rdev & 0xffn) | ((stat.rdev >> 12n) & 0xfff00n));
  return { type: stat.isBlockDevice() ? "block-device" : "character-device", major, minor, ...common };
}

function metadata(stat: fs.BigIntStats) {
  const second = 1_000_000_000n;
  const nanoseconds = ((stat.mtimeNs % second) + second) % second;
  const mtime: Timestamp = {
    seconds: Number((stat.mtimeNs - nanoseconds) / second),
    nanoseconds: Number(nanoseconds),
  };
  const { mode, uid, gid } = stat;
  return { mode: Number(mode) & 0o7777, uid: Number(uid), gid: Number(gid), mtime, xattrs: new Map() };
}

/** Opens the file at each read: trees may have more files than a process may hold open. */
function fileSource(path: Buffer): ByteSource {
  return {
    read(position, into) {
      const fd = fs.openSync(path, "r");
      try {
        for (let done = 0; done < into.length; ) {
          const count = fs.readSync(fd, into, done, into.length - done, position + done);
          if (count === 0) throw new Error(`${path.toString()} ends early`);
          done += count;
        }
      } finally {
        fs.closeSync(fd);
      }
    },
  };
}
