import type { ByteString } from "../../tree.ts";
import {
  XATTR_ALIGN,
  XATTR_ENTRY,
  XATTR_ENTRY_SIZE,
  XATTR_IBODY,
  XATTR_IBODY_SIZE,
  xattrPrefixes,
} from "../on-disk.ts";
import { demand, type ErofsImage, latin1, readBytes } from "./read-erofs.ts";

/** The attributes behind an inode: shared ones by their ids, then those stored in place. */
export function readXattrs(
  image: ErofsImage,
  { start, length }: { start: number; length: number },
): ReadonlyMap<ByteString, Uint8Array> {
  const xattrs = new Map<ByteString, Uint8Array>();
  if (length === 0) return xattrs;
  demand(length > XATTR_IBODY_SIZE, "an xattr header has nothing behind it");
  const body = new DataView(readBytes(image.source, start, length).buffer);
  const sharedCount = body.getUint8(XATTR_IBODY.h_shared_count);
  let at = XATTR_IBODY_SIZE;
  for (let index = 0; index < sharedCount; index++, at += 4)
    readEntry(image, { position: image.xattrStart + 4 * body.getUint32(at, true), xattrs });
  while (at < length) at += readEntry(image, { position: start + at, xattrs });
  demand(at === length, "an xattr passes the end of its inode");
  return xattrs;
}

/** Returns the padded length of the entry. */
function readEntry(
  { source }: ErofsImage,
  { position, xattrs }: { position: number; xattrs: Map<ByteString, Uint8Array> },
): number {
  const head = new DataView(readBytes(source, position, XATTR_ENTRY_SIZE).buffer);
  const nameLength = head.getUint8(XATTR_ENTRY.e_name_len);
  const index = head.getUint8(XATTR_ENTRY.e_name_index);
  const valueLength = head.getUint16(XATTR_ENTRY.e_value_size, true);
  const prefix = xattrPrefixes.find((candidate) => candidate.index === index)?.prefix;
  demand(prefix !== undefined, `unknown xattr name index ${index}`);
  const rest = readBytes(source, position + XATTR_ENTRY_SIZE, nameLength + valueLength);
  const name = prefix + latin1(rest.subarray(0, nameLength));
  demand(!xattrs.has(name), `xattr ${name} is there twice`);
  xattrs.set(name, rest.slice(nameLength));
  return Math.ceil((XATTR_ENTRY_SIZE + nameLength + valueLength) / XATTR_ALIGN) * XATTR_ALIGN;
}
