/** The smallest ELF file that looks like a kernel module: section names and `.modinfo`. */
export function moduleFile(name: string, depends: readonly string[]): Uint8Array {
  const names = new TextEncoder().encode("\0.shstrtab\0.modinfo\0");
  const info = new TextEncoder().encode(`license=GPL\0depends=${depends.join(",")}\0name=${name}\0`);
  const namesAt = 64;
  const infoAt = namesAt + names.length;
  const tableAt = Math.ceil((infoAt + info.length) / 8) * 8;
  const file = new Uint8Array(tableAt + 3 * 64);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setBigUint64(40, BigInt(tableAt), true);
  view.setUint16(58, 64, true);
  view.setUint16(60, 3, true);
  view.setUint16(62, 1, true);
  file.set(names, namesAt);
  file.set(info, infoAt);
  const section = (index: number, at: { name: number; offset: number; length: number }) => {
    view.setUint32(tableAt + index * 64, at.name, true);
    view.setBigUint64(tableAt + index * 64 + 24, BigInt(at.offset), true);
    view.setBigUint64(tableAt + index * 64 + 32, BigInt(at.length), true);
  };
  section(1, { name: 1, offset: namesAt, length: names.length });
  section(2, { name: 11, offset: infoAt, length: info.length });
  return file;
}
