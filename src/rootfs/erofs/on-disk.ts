/**
 * Numbers of the EROFS on-disk format, under the names that Linux gives them (Documentation/filesystems/erofs.rst,
 * section "On-disk details", and fs/erofs/erofs_fs.h). Only what exists since Linux 5.15 and is not compression.
 * All fields are little-endian. Field tables give byte offsets.
 */

/** Block size; Linux 5.15 mounts only images whose blocks are as large as its pages. */
export const EROFS_BLKSIZ_BITS = 12;
export const EROFS_BLKSIZ = 4096;

export const EROFS_SUPER_OFFSET = 1024;
export const EROFS_SUPER_MAGIC_V1 = 0xe0f5e1e2;
/** Covers the superblock's block from EROFS_SUPER_OFFSET to its end, with the checksum field as zero. */
export const EROFS_FEATURE_COMPAT_SB_CHKSUM = 0x1;
/** Says that inode times are mtimes; Linux before 5.16 ignores the bit and shows them as every time. */
export const EROFS_FEATURE_COMPAT_MTIME = 0x2;
export const EROFS_FEATURE_INCOMPAT_CHUNKED_FILE = 0x4;

/** struct erofs_super_block. */
export const SUPER = {
  magic: 0,
  checksum: 4,
  feature_compat: 8,
  blkszbits: 12,
  root_nid: 14,
  inos: 16,
  build_time: 24,
  build_time_nsec: 32,
  blocks: 36,
  meta_blkaddr: 40,
  xattr_blkaddr: 44,
  uuid: 48,
  feature_incompat: 80,
} as const;
export const SUPER_SIZE = 128;

/** An inode's number (nid) is its byte offset from `meta_blkaddr` divided by this. */
export const EROFS_SLOTSIZE = 32;

/** i_format: bit 0 is the inode version, bits 1 to 3 the data layout. */
export const EROFS_INODE_LAYOUT_COMPACT = 0;
export const EROFS_INODE_LAYOUT_EXTENDED = 1;
export const EROFS_I_DATALAYOUT_BIT = 1;
export const EROFS_I_DATALAYOUT_MASK = 0x7;

export const EROFS_INODE_FLAT_PLAIN = 0;
export const EROFS_INODE_FLAT_INLINE = 2;
export const EROFS_INODE_CHUNK_BASED = 4;
export type DataLayout =
  | typeof EROFS_INODE_FLAT_PLAIN
  | typeof EROFS_INODE_FLAT_INLINE
  | typeof EROFS_INODE_CHUNK_BASED;

/** struct erofs_inode_compact. `i_u` is raw_blkaddr, rdev or chunk format. */
export const COMPACT = {
  i_format: 0,
  i_xattr_icount: 2,
  i_mode: 4,
  i_nlink: 6,
  i_size: 8,
  i_u: 16,
  i_ino: 20,
  i_uid: 24,
  i_gid: 26,
} as const;
export const COMPACT_SIZE = 32;

/** struct erofs_inode_extended. */
export const EXTENDED = {
  i_format: 0,
  i_xattr_icount: 2,
  i_mode: 4,
  i_size: 8,
  i_u: 16,
  i_ino: 20,
  i_uid: 24,
  i_gid: 28,
  i_mtime: 32,
  i_mtime_nsec: 40,
  i_nlink: 44,
} as const;
export const EXTENDED_SIZE = 64;

/** Block address that means "nothing there": an inode without blocks, a hole in a chunk-based file. */
export const EROFS_NULL_ADDR = 0xffffffff;

/** Chunk format: bits 0 to 4 are log2(chunk size / block size); with INDEXES entries are 8 bytes instead of 4. */
export const EROFS_CHUNK_FORMAT_BLKBITS_MASK = 0x1f;
export const EROFS_CHUNK_FORMAT_INDEXES = 0x20;
export const EROFS_BLOCK_MAP_ENTRY_SIZE = 4;
export const EROFS_CHUNK_INDEX_SIZE = 8;

/** struct erofs_xattr_ibody_header. */
export const XATTR_IBODY = { h_shared_count: 4 } as const;
export const XATTR_IBODY_SIZE = 12;
/** Shared xattrs of one inode; greater counts are kept free for other uses. */
export const EROFS_MAX_SHARED_XATTRS = 128;

/** struct erofs_xattr_entry: then come the name without its prefix and the value, padded to 4 bytes. */
export const XATTR_ENTRY = { e_name_len: 0, e_name_index: 1, e_value_size: 2 } as const;
export const XATTR_ENTRY_SIZE = 4;
export const XATTR_ALIGN = 4;

/** EROFS_XATTR_INDEX_*: names are stored as an index for the prefix and the rest. Longest match first. */
export const xattrPrefixes: readonly { readonly index: number; readonly prefix: string; exact?: boolean }[] =
  [
    { index: 2, prefix: "system.posix_acl_access", exact: true },
    { index: 3, prefix: "system.posix_acl_default", exact: true },
    { index: 1, prefix: "user." },
    { index: 4, prefix: "trusted." },
    { index: 6, prefix: "security." },
  ];

/** struct erofs_dirent. */
export const DIRENT = { nid: 0, nameoff: 8, file_type: 10 } as const;
export const DIRENT_SIZE = 12;
export const EROFS_NAME_LEN = 255;

/** File types of directory entries (FT_*), and the type bits of i_mode (S_IF*). */
export const fileTypes = {
  file: { ft: 1, mode: 0o100000 },
  directory: { ft: 2, mode: 0o040000 },
  "character-device": { ft: 3, mode: 0o020000 },
  "block-device": { ft: 4, mode: 0o060000 },
  fifo: { ft: 5, mode: 0o010000 },
  socket: { ft: 6, mode: 0o140000 },
  symlink: { ft: 7, mode: 0o120000 },
} as const;
