import { SupermachineError } from "../errors/supermachine-error.ts";

/**
 * What a backend saved: its own structures as named raw chunks, because decoding and re-encoding them would be risk
 * without gain. The tag keeps one backend from being fed another's state.
 */
export interface BackendState {
  readonly backend: string;
  /** "vm" or "vcpu". */
  readonly subject: string;
  readonly chunks: ReadonlyMap<string, Uint8Array>;
}

/** Guards against a length field gone wrong; the largest real state (XSAVE with tiles, MSRs) is below 32 KiB. */
const maxLength = 1 << 20;
const maxChunks = 64;
const header = "supermachine state 1";

/** Layout: header, backend, subject, then name and bytes of every chunk, each with a 32-bit length before it. */
export function encodeState(state: BackendState): Uint8Array {
  const text = new TextEncoder();
  const parts = [header, state.backend, state.subject].map((part) => text.encode(part));
  for (const [name, bytes] of state.chunks) parts.push(text.encode(name), bytes);
  const result = new Uint8Array(parts.reduce((length, part) => length + 4 + part.length, 0));
  const view = new DataView(result.buffer);
  let offset = 0;
  for (const part of parts) {
    view.setUint32(offset, part.length, true);
    result.set(part, offset + 4);
    offset += 4 + part.length;
  }
  return result;
}

/** The inverse; throws `HYPERVISOR` for anything that `encodeState` does not produce. The result copies the bytes. */
export function parseState(bytes: Uint8Array): BackendState {
  if (bytes.length > maxLength) throw damaged("it is too long");
  const parts = split(bytes);
  const [first, backend, subject, ...rest] = parts;
  if (first === undefined || backend === undefined || subject === undefined || decode(first) !== header)
    throw damaged("it has no header");
  if (rest.length % 2 !== 0 || rest.length / 2 > maxChunks) throw damaged("its chunks do not pair up");
  const chunks = new Map<string, Uint8Array>();
  for (const [index, part] of rest.entries()) {
    if (index % 2 === 0) continue;
    const name = decode(rest[index - 1] ?? new Uint8Array());
    if (chunks.has(name)) throw damaged(`chunk '${name}' occurs twice`);
    chunks.set(name, part);
  }
  return { backend: decode(backend), subject: decode(subject), chunks };
}

/** The chunk of this name, checked for its exact length where there is one. */
export function requireChunk(state: BackendState, name: string, length?: number): Uint8Array {
  const bytes = state.chunks.get(name);
  if (bytes === undefined) throw damaged(`chunk '${name}' is missing`);
  if (length !== undefined && bytes.length !== length)
    throw damaged(`chunk '${name}' has ${bytes.length} bytes, not ${length}`);
  return bytes.slice();
}

/** Throws unless the state is this backend's and this subject's. */
export function requireState(state: BackendState, backend: string, subject: string): void {
  if (state.backend !== backend || state.subject !== subject)
    throw damaged(`it is ${state.subject} state of ${state.backend}, not ${subject} state of ${backend}`);
}

function split(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const parts: Uint8Array[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    if (offset + 4 > bytes.length) throw damaged("it ends inside a length");
    const length = view.getUint32(offset, true);
    offset += 4;
    if (length > bytes.length - offset) throw damaged("it ends inside a chunk");
    parts.push(bytes.slice(offset, offset + length));
    offset += length;
  }
  return parts;
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw damaged("a name is not UTF-8", cause);
  }
}

function damaged(why: string, cause?: unknown): SupermachineError {
  return new SupermachineError("HYPERVISOR", `Cannot use the saved machine state: ${why}`, {
    hint: "Make the snapshot again with this version",
    cause,
  });
}
