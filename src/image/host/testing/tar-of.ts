/** A member of a test's archive. */
export interface TarMember {
  readonly path: string;
  readonly content?: string | Uint8Array;
  /** The tar format's own letters: "0" file (default), "1" hard link, "2" symbolic link. */
  readonly type?: "0" | "1" | "2";
  readonly target?: string;
}

/** A small ustar archive in memory. */
export function tarOf(members: readonly TarMember[]): Buffer {
  const blocks = members.flatMap(({ path, content = "", type = "0", target = "" }) => {
    const data = Buffer.from(content);
    return [header(path, { size: data.length, type, target }), data, Buffer.alloc(-data.length & 511)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

/** Offsets as in POSIX pax(1), "ustar Interchange Format". */
function header(path: string, fields: { size: number; type: string; target: string }): Buffer {
  const block = Buffer.alloc(512);
  block.write(path, 0);
  block.write("0000644\0", 100);
  block.write("0000000\0", 108);
  block.write("0000000\0", 116);
  block.write(`${fields.size.toString(8).padStart(11, "0")}\0`, 124);
  block.write("00000000000\0", 136);
  block.write("        ", 148);
  block.write(fields.type, 156);
  block.write(fields.target, 157);
  block.write("ustar\x0000", 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}
