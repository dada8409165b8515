import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { ByteString, FileNode, NodeMetadata, TreeNode } from "../tree.ts";
import type { InodeRecord } from "./inode-record.ts";
import { EROFS_NAME_LEN } from "./on-disk.ts";

/** Linux resolves link targets of at most PATH_MAX - 1 bytes. */
const maxTargetLength = 4095;
/** Device numbers as `new_encode_dev` packs them: 12 bits of major, 20 of minor. */
const maxMajor = 0xfff;
const maxMinor = 0xfffff;
const maxUint32 = 0xffffffff;

/** The error for something that an image cannot hold; never is anything cut to fit. */
export function tooLarge(record: InodeRecord, what: string): SupermachineError {
  return new SupermachineError("ROOTFS_LIMIT", `Cannot store ${record.path} in a root file system: ${what}`, {
    hint: "Change the file in the image, or leave it out",
    data: { path: record.path },
  });
}

/** Refuses a name that a directory cannot hold. */
export function checkEntryName(name: ByteString, directory: InodeRecord): void {
  const problem = nameProblem(name);
  if (problem !== undefined)
    throw tooLarge(directory, `its entry ${JSON.stringify(name.slice(0, EROFS_NAME_LEN))} ${problem}`);
}

/** Refuses values that the format, or Linux, has no room for. */
export function checkNode(record: InodeRecord): void {
  const { node } = record;
  checkMetadata(record, node);
  if (node.type === "file") checkFile(record, node);
  if (node.type === "symlink") checkTarget(record, node.target);
  if (node.type === "character-device" || node.type === "block-device")
    if (!inRange(node.major, maxMajor) || !inRange(node.minor, maxMinor))
      throw tooLarge(record, `Linux has no device number ${node.major}:${node.minor}`);
}

function nameProblem(name: ByteString): string | undefined {
  if (name === "" || name === "." || name === "..") return "is not a file name";
  if (name.length > EROFS_NAME_LEN) return `has ${name.length} bytes, at most ${EROFS_NAME_LEN} fit`;
  for (let index = 0; index < name.length; index++) {
    const code = name.charCodeAt(index);
    if (code === 0 || code === 0x2f) return "has a slash or NUL byte";
    if (code > 0xff) return "is not a string of bytes";
  }
  return undefined;
}

function checkMetadata(record: InodeRecord, { mode, uid, gid, mtime }: NodeMetadata & TreeNode): void {
  if (!inRange(mode, 0o7777)) throw tooLarge(record, `its mode ${mode} is not within 0 to 0o7777`);
  if (!inRange(uid, maxUint32) || !inRange(gid, maxUint32))
    throw tooLarge(record, `its owner ${uid}:${gid} is not within 32 bits`);
  if (!Number.isSafeInteger(mtime.seconds) || !inRange(mtime.nanoseconds, 999_999_999))
    throw tooLarge(record, `its time ${mtime.seconds} s ${mtime.nanoseconds} ns is out of range`);
}

function checkFile(record: InodeRecord, { size, extents }: FileNode): void {
  if (!inRange(size, Number.MAX_SAFE_INTEGER)) throw tooLarge(record, `its size ${size} is out of range`);
  let end = 0;
  for (const { offset, length, position } of extents) {
    if (!inRange(length, size) || !inRange(offset, size - length) || offset < end)
      throw new RangeError(`The extents of ${record.path} overlap, descend or pass its end`);
    if (!inRange(position, Number.MAX_SAFE_INTEGER))
      throw new RangeError(`An extent of ${record.path} has no valid position in its source`);
    end = offset + length;
  }
}

function checkTarget(record: InodeRecord, target: ByteString): void {
  if (target.length === 0) throw tooLarge(record, "its link target is empty");
  if (target.length > maxTargetLength)
    throw tooLarge(record, `its link target has ${target.length} bytes, at most ${maxTargetLength} fit`);
  for (let index = 0; index < target.length; index++) {
    const code = target.charCodeAt(index);
    if (code === 0) throw tooLarge(record, "its link target has a NUL byte");
    if (code > 0xff) throw new TypeError(`The link target of ${record.path} is not a string of bytes`);
  }
}

function inRange(value: number, greatest: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value <= greatest;
}
