import type { ByteString } from "../tree.ts";
import { tooLarge } from "./check-node.ts";
import type { ImageWriter } from "./image-writer.ts";
import type { InodeRecord } from "./inode-record.ts";
import {
  EROFS_MAX_SHARED_XATTRS,
  EROFS_NAME_LEN,
  XATTR_ALIGN,
  XATTR_ENTRY,
  XATTR_ENTRY_SIZE,
  XATTR_IBODY,
  XATTR_IBODY_SIZE,
  xattrPrefixes,
} from "./on-disk.ts";

/** One attribute as it is stored. Attributes of several inodes that are equal are one object. */
export interface XattrEntry {
  /** EROFS_XATTR_INDEX_* of the prefix, and the rest of the name. */
  readonly index: number;
  readonly suffix: ByteString;
  readonly value: Uint8Array;
  /** How many inodes have it. */
  uses: number;
  /** Where it lies in the shared area, counted in 4 bytes; undefined when it is stored with its inode. */
  sharedId: number | undefined;
}

/** The attributes of one inode: a header, the ids of the shared ones, then the others. */
export interface XattrPlan {
  readonly entries: readonly XattrEntry[];
  /** How many of `entries`, from the first on, are given by id. */
  readonly sharedCount: number;
  /** Bytes behind the inode. */
  readonly size: number;
}

export interface SharedXattrs {
  readonly entries: readonly XattrEntry[];
  readonly size: number;
  /** Full names whose namespace Linux does not know; they are left out, as every Linux file system does. */
  readonly unsupportedNames: ReadonlySet<ByteString>;
}

const maxValueLength = 0xffff;
/** i_xattr_icount has 16 bits. */
const maxBodySize = XATTR_IBODY_SIZE + 4 * (0xffff - 1);

/** Plans the attributes of all inodes: what is equal on several is stored once, in the shared area. */
export function planXattrs(records: readonly InodeRecord[]): SharedXattrs {
  const known = new Map<string, XattrEntry>();
  const unsupportedNames = new Set<ByteString>();
  const found = new Map<InodeRecord, XattrEntry[]>();
  for (const record of records) {
    if (record.node.xattrs.size === 0) continue;
    const entries: XattrEntry[] = [];
    for (const name of [...record.node.xattrs.keys()].sort()) {
      const value = record.node.xattrs.get(name) ?? new Uint8Array(0);
      const entry = internEntry(known, makeEntry(record, name, value));
      if (entry === undefined) unsupportedNames.add(name);
      else entries.push(entry);
    }
    if (entries.length > 0) found.set(record, entries);
  }
  const shared = assignSharedIds(known.values());
  for (const [record, entries] of found) record.xattrs = planInode(record, entries);
  return { ...shared, unsupportedNames };
}

/** Writes the header, the shared ids and the inline entries of an inode. */
export function writeInodeXattrs(plan: XattrPlan, out: ImageWriter): void {
  const at = out.claim(XATTR_IBODY_SIZE + 4 * plan.sharedCount);
  out.view.setUint8(at + XATTR_IBODY.h_shared_count, plan.sharedCount);
  plan.entries.forEach((entry, index) => {
    if (index < plan.sharedCount)
      out.view.setUint32(at + XATTR_IBODY_SIZE + 4 * index, entry.sharedId ?? 0, true);
    else writeEntry(entry, out);
  });
}

export function writeSharedXattrs({ entries }: SharedXattrs, out: ImageWriter): void {
  for (const entry of entries) writeEntry(entry, out);
}

function makeEntry(record: InodeRecord, name: ByteString, value: Uint8Array): XattrEntry | undefined {
  const label = JSON.stringify(name.slice(0, EROFS_NAME_LEN));
  if (name.length > EROFS_NAME_LEN)
    throw tooLarge(record, `the name of its attribute ${label} has more than ${EROFS_NAME_LEN} bytes`);
  if (value.length > maxValueLength)
    throw tooLarge(record, `its attribute ${label} has ${value.length} bytes, at most ${maxValueLength} fit`);
  if (name.includes("\0")) throw tooLarge(record, `the name of its attribute ${label} has a NUL byte`);
  for (const { index, prefix, exact = false } of xattrPrefixes) {
    if (exact ? name !== prefix : !name.startsWith(prefix) || name.length === prefix.length) continue;
    return { index, suffix: name.slice(prefix.length), value, uses: 0, sharedId: undefined };
  }
  return undefined;
}

function internEntry(known: Map<string, XattrEntry>, entry: XattrEntry | undefined): XattrEntry | undefined {
  if (entry === undefined) return undefined;
  // Every part that may hold any character is preceded by its length, so that different entries differ as keys.
  const key = `${entry.index} ${entry.suffix.length} ${entry.suffix}${latin1(entry.value)}`;
  const first = known.get(key);
  const kept = first ?? entry;
  if (first === undefined) known.set(key, entry);
  kept.uses++;
  return kept;
}

function assignSharedIds(entries: Iterable<XattrEntry>): { entries: XattrEntry[]; size: number } {
  const shared: XattrEntry[] = [];
  let size = 0;
  for (const entry of entries) {
    // Shared: the entry once, and an id of 4 bytes for each inode.
    const length = entrySize(entry);
    if (entry.uses < 2 || length + 4 * entry.uses >= length * entry.uses) continue;
    entry.sharedId = size / XATTR_ALIGN;
    shared.push(entry);
    size += length;
  }
  return { entries: shared, size };
}

function planInode(record: InodeRecord, entries: readonly XattrEntry[]): XattrPlan {
  const shared = entries.filter((entry) => entry.sharedId !== undefined);
  const byId = shared.slice(0, EROFS_MAX_SHARED_XATTRS);
  const inline = [
    ...shared.slice(EROFS_MAX_SHARED_XATTRS),
    ...entries.filter((entry) => entry.sharedId === undefined),
  ];
  const size = inline.reduce((sum, entry) => sum + entrySize(entry), XATTR_IBODY_SIZE + 4 * byId.length);
  if (size > maxBodySize)
    throw tooLarge(record, `its attributes take ${size} bytes together, at most ${maxBodySize} fit`);
  return { entries: [...byId, ...inline], sharedCount: byId.length, size };
}

function entrySize({ suffix, value }: XattrEntry): number {
  return Math.ceil((XATTR_ENTRY_SIZE + suffix.length + value.length) / XATTR_ALIGN) * XATTR_ALIGN;
}

function writeEntry(entry: XattrEntry, out: ImageWriter): void {
  const at = out.claim(entrySize(entry));
  out.view.setUint8(at + XATTR_ENTRY.e_name_len, entry.suffix.length);
  out.view.setUint8(at + XATTR_ENTRY.e_name_index, entry.index);
  out.view.setUint16(at + XATTR_ENTRY.e_value_size, entry.value.length, true);
  out.setBytes(at + XATTR_ENTRY_SIZE, entry.suffix);
  out.set(at + XATTR_ENTRY_SIZE + entry.suffix.length, entry.value);
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
