// The file `state.bin`: what every component saved. Layout in docs/snapshot-format.md.
import { invalidSnapshot, mismatchedSnapshot } from "./snapshot-error.ts";
import type { SavedComponent } from "./state-codec.ts";

/** "supermachine state" in eight bytes. */
const magic = Uint8Array.of(0x53, 0x4d, 0x53, 0x54, 0x41, 0x54, 0x45, 0x0a);
const formatVersion = 1;
/** Magic, format version, count of components. */
const headerLength = 16;
/** Length of the id, version, length of the bytes. */
const entryLength = 12;

/** A machine has some 18 slots, up to 64 processors and a handful of other parts. */
const maxComponents = 512;
/** "virtio-transport/17" is a long one. */
const maxIdLength = 64;
/** The largest real one is the page map: 2 MiB for 64 GiB of memory. A virtual switch may hold some more. */
const maxComponentLength = 16 * 2 ** 20;
/** Read as a whole. */
export const maxStateFileLength: number = 64 * 2 ** 20;

const idPattern = /^[a-z0-9]+(?:[-./][a-z0-9]+)*$/;

/** @throws RangeError for components that no state file can hold: a fault of whoever saved them. */
export function encodeStateFile(components: readonly SavedComponent[]): Uint8Array {
  const entries = components.map(({ id, version, bytes }) => ({
    id: new TextEncoder().encode(id),
    version,
    bytes,
  }));
  const length = entries.reduce(
    (sum, { id, bytes }) => sum + entryLength + id.length + bytes.length,
    headerLength,
  );
  for (const { id, version, bytes } of components) {
    if (!isId(id)) throw new RangeError(`A component cannot be called '${id}'`);
    if (!isVersion(version)) throw new RangeError(`The version of ${id} state cannot be ${version}`);
    if (bytes.length > maxComponentLength) throw new RangeError(`The ${id} state has ${bytes.length} bytes`);
  }
  if (new Set(components.map(({ id }) => id)).size !== components.length || components.length > maxComponents)
    throw new RangeError("The components' names are not unique, or too many");
  if (length > maxStateFileLength) throw new RangeError(`The state takes ${length} bytes`);
  const file = new Uint8Array(length);
  const view = new DataView(file.buffer);
  file.set(magic);
  view.setUint32(8, formatVersion, true);
  view.setUint32(12, entries.length, true);
  let at = headerLength;
  for (const { id, version, bytes } of entries) {
    view.setUint32(at, id.length, true);
    view.setUint32(at + 4, version, true);
    view.setUint32(at + 8, bytes.length, true);
    file.set(id, at + entryLength);
    file.set(bytes, at + entryLength + id.length);
    at += entryLength + id.length + bytes.length;
  }
  return file;
}

/**
 * The inverse. The components' bytes are copies.
 *
 * @throws SupermachineError `SNAPSHOT_INVALID` for anything that `encodeStateFile` does not write, to the byte;
 * `SNAPSHOT_MISMATCH` for another format version.
 */
export function parseStateFile(file: Uint8Array): SavedComponent[] {
  if (file.length < headerLength || file.length > maxStateFileLength)
    throw invalidSnapshot(`its state cannot have ${file.length} bytes`);
  if (magic.some((byte, at) => file[at] !== byte)) throw invalidSnapshot("its state file is none");
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const version = view.getUint32(8, true);
  if (version !== formatVersion)
    throw mismatchedSnapshot(`its state has format version ${version}, not ${formatVersion}`);
  const count = view.getUint32(12, true);
  if (count > maxComponents) throw invalidSnapshot("it has too many components");
  const components: SavedComponent[] = [];
  const seen = new Set<string>();
  let at = headerLength;
  for (let index = 0; index < count; index++) {
    const component = parseEntry(file, at);
    if (seen.has(component.id)) throw invalidSnapshot(`it has ${component.id} state twice`);
    seen.add(component.id);
    components.push(component);
    at += entryLength + component.id.length + component.bytes.length;
  }
  if (at !== file.length) throw invalidSnapshot("its state goes on after its end");
  return components;
}

function parseEntry(file: Uint8Array, at: number): SavedComponent {
  if (at + entryLength > file.length) throw invalidSnapshot("its state is cut short");
  const view = new DataView(file.buffer, file.byteOffset + at, entryLength);
  const idLength = view.getUint32(0, true);
  const version = view.getUint32(4, true);
  const length = view.getUint32(8, true);
  if (idLength > maxIdLength || length > maxComponentLength)
    throw invalidSnapshot("a part of its state is too long");
  const start = at + entryLength + idLength;
  if (start + length > file.length) throw invalidSnapshot("its state is cut short");
  const id = String.fromCharCode(...file.subarray(at + entryLength, start));
  if (!isId(id) || !isVersion(version))
    throw invalidSnapshot("a part of its state has no proper name or version");
  return { id, version, bytes: file.slice(start, start + length) };
}

function isId(id: string): boolean {
  return id.length <= maxIdLength && idPattern.test(id);
}

function isVersion(version: number): boolean {
  return Number.isInteger(version) && version >= 1 && version < 2 ** 16;
}
