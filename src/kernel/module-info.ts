/**
 * What a kernel module says about itself: the NUL-separated `name=value` strings of its `.modinfo` section. Reading
 * them makes us independent of modules.dep, which only `depmod` on an installed kernel writes.
 */
export interface ModuleInfo {
  /** With underscores, as `/proc/modules` shows it. */
  readonly name: string;
  /** Names of the modules whose symbols it uses. */
  readonly depends: readonly string[];
}

/**
 * Reads a module's `.modinfo`: ELF-64, little-endian (System V ABI, "Sections").
 *
 * @throws RangeError when the bytes are no such file.
 */
export function readModuleInfo(module: Uint8Array): ModuleInfo {
  const view = new DataView(module.buffer, module.byteOffset, module.byteLength);
  if (module.length < 64 || view.getUint32(0) !== 0x7f454c46 || view.getUint16(4) !== 0x0201)
    throw new RangeError("Not a 64-bit little-endian ELF file");
  const sections = sectionsOf(view);
  const names = sections[view.getUint16(62, true)];
  if (names === undefined) throw new RangeError("The ELF file has no section names");
  const section = sections.find(({ name }) => textAt(module, names.offset + name) === ".modinfo");
  if (section === undefined) throw new RangeError("The ELF file has no .modinfo section");
  return parseModuleInfo(module.subarray(section.offset, section.offset + section.length));
}

/** "virtio-rng", "kernel/drivers/char/hw_random/virtio-rng.ko.xz" and "virtio_rng" are one module: "virtio_rng". */
export function moduleName(path: string): string {
  const base = path.slice(path.lastIndexOf("/") + 1);
  return base.replace(/\.ko(\.(gz|xz|zst))?$/, "").replaceAll("-", "_");
}

interface Section {
  readonly name: number;
  readonly offset: number;
  readonly length: number;
}

function sectionsOf(view: DataView): Section[] {
  const start = Number(view.getBigUint64(40, true));
  const entryLength = view.getUint16(58, true);
  const count = view.getUint16(60, true);
  if (entryLength < 64 || start + entryLength * count > view.byteLength)
    throw new RangeError("The section table lies outside the ELF file");
  return Array.from({ length: count }, (_, index) => {
    const at = start + index * entryLength;
    return {
      name: view.getUint32(at, true),
      offset: Number(view.getBigUint64(at + 24, true)),
      length: Number(view.getBigUint64(at + 32, true)),
    };
  });
}

function textAt(bytes: Uint8Array, offset: number): string {
  const end = bytes.indexOf(0, offset);
  return new TextDecoder().decode(
    bytes.subarray(offset, Math.min(end < 0 ? bytes.length : end, offset + 64)),
  );
}

function parseModuleInfo(bytes: Uint8Array): ModuleInfo {
  const fields = new TextDecoder().decode(bytes).split("\0");
  const value = (key: string) => fields.find((field) => field.startsWith(`${key}=`))?.slice(key.length + 1);
  const depends = (value("depends") ?? "").split(",").filter((name) => name !== "");
  return { name: moduleName(value("name") ?? ""), depends: depends.map(moduleName) };
}
