import type { Fail } from "../../tar/archive-error.ts";
import type { TarEntry } from "../../tar/tar-entry.ts";
import type { ByteString, NodeMetadata, TreeNode } from "../tree.ts";

/** The tree node that a tar entry describes by itself; hard links describe none. Fails on what Linux could not hold. */
export function createNode(entry: TarEntry, fail: Fail): TreeNode {
  const metadata = entryMetadata(entry);
  switch (entry.type) {
    case "directory":
      return { type: "directory", entries: new Map(), ...metadata };
    case "file":
      return { type: "file", size: entry.size, extents: entry.extents, ...metadata };
    case "symlink":
      if (entry.linkTarget === "") fail("is a symbolic link to nothing");
      if (entry.linkTarget.length > 4095) fail("is a symbolic link to more than 4095 bytes");
      // Linux gives symbolic links no mode of their own and shows this one.
      return { type: "symlink", target: entry.linkTarget, ...metadata, mode: 0o777 };
    case "character-device":
    case "block-device": {
      const { type, major, minor } = entry;
      // Linux: 12 bits of major, 20 bits of minor number.
      if (major < 0 || major > 0xfff || minor < 0 || minor > 0xfffff) fail("has an impossible device number");
      return { type, major, minor, ...metadata };
    }
    case "fifo":
      return { type: "fifo", ...metadata };
    case "hard-link":
      throw new TypeError("A hard link has no node of its own");
  }
}

export function entryMetadata(entry: TarEntry): NodeMetadata {
  const { mode, uid, gid, mtime, xattrs } = entry;
  return { mode, uid, gid, mtime, xattrs: linuxXattrs(xattrs) };
}

/**
 * Keeps what a Linux guest can have. Archives from other systems carry names without a Linux namespace
 * ("com.apple.quarantine"), and SELinux labels and NFS ACLs describe the machine that made the archive.
 */
function linuxXattrs(xattrs: ReadonlyMap<ByteString, Uint8Array>): ReadonlyMap<ByteString, Uint8Array> {
  let kept = 0;
  for (const name of xattrs.keys()) if (isLinuxXattr(name)) kept++;
  if (kept === xattrs.size) return xattrs;
  return new Map([...xattrs].filter(([name]) => isLinuxXattr(name)));
}

function isLinuxXattr(name: ByteString): boolean {
  if (name === "security.selinux") return false;
  return /^(?:user|trusted|security)\.|^system\.posix_acl_(?:access|default)$/.test(name);
}
