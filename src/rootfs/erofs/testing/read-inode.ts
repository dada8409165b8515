import type { Timestamp } from "../../tree.ts";
import {
  COMPACT,
  COMPACT_SIZE,
  EROFS_I_DATALAYOUT_BIT,
  EROFS_I_DATALAYOUT_MASK,
  EROFS_INODE_LAYOUT_COMPACT,
  EXTENDED,
  EXTENDED_SIZE,
  XATTR_IBODY_SIZE,
} from "../on-disk.ts";
import { type ErofsImage, readBytes } from "./read-erofs.ts";

/** The fixed part of an inode. */
export interface InodeHead {
  /** Where it lies in the image. */
  readonly start: number;
  readonly inodeSize: number;
  readonly xattrSize: number;
  readonly layout: number;
  readonly mode: number;
  readonly links: number;
  readonly size: number;
  /** First block, device number or chunk format. */
  readonly union: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Timestamp;
}

export function readInodeHead({ source, buildTime }: ErofsImage, start: number): InodeHead {
  const compact = new DataView(readBytes(source, start, COMPACT_SIZE).buffer);
  const format = compact.getUint16(COMPACT.i_format, true);
  const count = compact.getUint16(COMPACT.i_xattr_icount, true);
  const common = {
    start,
    xattrSize: count === 0 ? 0 : XATTR_IBODY_SIZE + 4 * (count - 1),
    layout: (format >>> EROFS_I_DATALAYOUT_BIT) & EROFS_I_DATALAYOUT_MASK,
    mode: compact.getUint16(COMPACT.i_mode, true),
    union: compact.getUint32(COMPACT.i_u, true),
  };
  if ((format & 1) === EROFS_INODE_LAYOUT_COMPACT)
    return {
      ...common,
      inodeSize: COMPACT_SIZE,
      links: compact.getUint16(COMPACT.i_nlink, true),
      size: compact.getUint32(COMPACT.i_size, true),
      uid: compact.getUint16(COMPACT.i_uid, true),
      gid: compact.getUint16(COMPACT.i_gid, true),
      mtime: buildTime,
    };
  const extended = new DataView(readBytes(source, start, EXTENDED_SIZE).buffer);
  return {
    ...common,
    inodeSize: EXTENDED_SIZE,
    links: extended.getUint32(EXTENDED.i_nlink, true),
    size: Number(extended.getBigUint64(EXTENDED.i_size, true)),
    uid: extended.getUint32(EXTENDED.i_uid, true),
    gid: extended.getUint32(EXTENDED.i_gid, true),
    mtime: {
      seconds: Number(extended.getBigInt64(EXTENDED.i_mtime, true)),
      nanoseconds: extended.getUint32(EXTENDED.i_mtime_nsec, true),
    },
  };
}
