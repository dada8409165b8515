/**
 * cpio archives in the "newc" format, as the Linux kernel unpacks them into its initramfs: buffer-format.rst of the
 * kernel documentation, https://docs.kernel.org/driver-api/early-userspace/buffer-format.html.
 */

/** One entry of an archive; its folders must come before it. */
export type CpioEntry = CpioDirectory | CpioFile | CpioDevice;

interface CpioNode {
  /** Relative to the root, without a leading slash. ASCII. */
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
}
export interface CpioDirectory extends CpioNode {
  readonly type: "directory";
}
export interface CpioFile extends CpioNode {
  readonly type: "file";
  readonly content: Uint8Array;
}
export interface CpioDevice extends CpioNode {
  readonly type: "character-device";
  readonly major: number;
  readonly minor: number;
}

/**
 * Writes an archive. The same entries give the same bytes: owner root, time 0, inodes numbered in order.
 *
 * @throws RangeError when a path is not plain ASCII, or a file is 4 GiB or larger.
 */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const parts = [...entries.map((entry, index) => encode(entry, index + 1)), trailer()];
  const archive = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    archive.set(part, offset);
    offset += part.length;
  }
  return archive;
}

const typeBits = { directory: 0o040000, file: 0o100000, "character-device": 0o020000 } as const;
const headerLength = 6 + 13 * 8;

function encode(entry: CpioEntry, inode: number): Uint8Array {
  if (!/^[\x21-\x7e]+$/.test(entry.path) || entry.path.startsWith("/"))
    throw new RangeError(`Unusable path for an archive entry: '${entry.path}'`);
  const content = entry.type === "file" ? entry.content : new Uint8Array(0);
  if (content.length > 0xffff_ffff) throw new RangeError(`File too large for an archive: '${entry.path}'`);
  const device = entry.type === "character-device" ? entry : { major: 0, minor: 0 };
  return record(entry.path, content, [
    inode,
    typeBits[entry.type] | entry.mode,
    0,
    0,
    entry.type === "directory" ? 2 : 1,
    0,
    content.length,
    0,
    0,
    device.major,
    device.minor,
  ]);
}

function trailer(): Uint8Array {
  return record("TRAILER!!!", new Uint8Array(0), [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
}

/** `fields`: c_ino, c_mode, c_uid, c_gid, c_nlink, c_mtime, c_filesize, c_maj, c_min, c_rmaj, c_rmin. */
function record(name: string, content: Uint8Array, fields: readonly number[]): Uint8Array {
  const numbers = [...fields, name.length + 1, 0];
  const header = `070701${numbers.map((value) => value.toString(16).padStart(8, "0")).join("")}${name}\0`;
  const dataAt = align(headerLength + name.length + 1);
  const bytes = new Uint8Array(align(dataAt + content.length));
  bytes.set(new TextEncoder().encode(header));
  bytes.set(content, dataAt);
  return bytes;
}

function align(length: number): number {
  return Math.ceil(length / 4) * 4;
}
