import type { DirectoryNode, TreeNode } from "../../tree.ts";
import { directory, file, metadata } from "./make-tree.ts";

/** A tree with one of everything that the format can hold and that is easy to get wrong. */
export function oddTree(): DirectoryNode {
  const hardLinked = file("one inode, two names\n", { mode: 0o600 });
  const largeValue = new Uint8Array(60_000).fill(0x41);
  const manyXattrs = new Map(
    Array.from({ length: 200 }, (_, index) => [
      `user.a${index}`,
      new Uint8Array(20).fill(0x41 + (index % 26)),
    ]),
  );
  return directory({
    empty: file(""),
    setuid: file("#!/bin/sh\n", { mode: 0o4755, uid: 65_536, gid: 4_294_967_294 }),
    before1970: file("x", { mtime: { seconds: -1, nanoseconds: 999_999_999 } }),
    after2038: file("x", { mtime: { seconds: 8_589_934_592, nanoseconds: 1 } }),
    oneBlock: file({ size: 4096, extents: [[0, 4096]] }),
    almostOneBlock: file({ size: 4032, extents: [[0, 4032]] }),
    large: file({ size: 3_000_001, extents: [[0, 3_000_001]] }),
    "\xff not UTF-8": file("x"),
    link: { type: "symlink", target: "../\xff/x", ...metadata({ mode: 0o777 }) },
    longLink: { type: "symlink", target: "a/".repeat(2047), ...metadata({ mode: 0o777 }) },
    linkWithXattr: {
      type: "symlink",
      target: "t".repeat(3000),
      ...metadata({ mode: 0o777, xattrs: new Map([["trusted.large", largeValue]]) }),
    },
    terminal: { type: "character-device", major: 4, minor: 300, ...metadata({ mode: 0o620, gid: 5 }) },
    disk: { type: "block-device", major: 0xfff, minor: 0xfffff, ...metadata() },
    pipe: { type: "fifo", ...metadata() },
    socket: { type: "socket", ...metadata() },
    sticky: directory({ deeper: directory({ deepest: file("!") }) }, { mode: 0o1777 }),
    many: directory(manyEntries()),
    hardLink: hardLinked,
    elsewhere: directory({ hardLink: hardLinked }),
    sparse: file(sparse),
    hole: file({ size: 2 ** 41, extents: [] }),
    manyXattrs: file("x", { xattrs: manyXattrs }),
    sameXattrs: file({ size: 9000, extents: [[0, 9000]] }, { xattrs: manyXattrs }),
    capability: file("x", { mode: 0o755, xattrs: new Map([["security.capability", netBindService]]) }),
    acl: file("x", {
      mode: 0o664,
      xattrs: new Map([
        ["system.posix_acl_access", accessControlList],
        ["user.large", largeValue],
        ["trusted.overlay.opaque", Uint8Array.of(0x79)],
      ]),
    }),
  });
}

/** Data behind 1 GiB and at the end of 1 TiB. */
const sparse = {
  size: 2 ** 40 + 5,
  extents: [
    [2 ** 30 + 17, 100_000],
    [2 ** 40 + 2, 3],
  ] as [number, number][],
};

/** struct vfs_cap_data, revision 2, effective: CAP_NET_BIND_SERVICE permitted. */
const netBindService: Uint8Array = Uint8Array.of(1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

/** struct posix_acl_xattr_header and entries: user::rw-, user:1000:r--, group::r--, mask::rw-, other::r--. */
const accessControlList: Uint8Array = Uint8Array.from(
  [
    [2, 0, 0, 0],
    [0x01, 0, 6, 0, 0xff, 0xff, 0xff, 0xff],
    [0x02, 0, 4, 0, 0xe8, 0x03, 0x00, 0x00],
    [0x04, 0, 4, 0, 0xff, 0xff, 0xff, 0xff],
    [0x10, 0, 6, 0, 0xff, 0xff, 0xff, 0xff],
    [0x20, 0, 4, 0, 0xff, 0xff, 0xff, 0xff],
  ].flat(),
);

/** Enough names to fill 100 directory blocks. */
function manyEntries(): Record<string, TreeNode> {
  const entries: Record<string, TreeNode> = {};
  for (let index = 0; index < 3000; index++) entries[`${index}${"n".repeat(index % 240)}`] = file(`${index}`);
  return entries;
}
