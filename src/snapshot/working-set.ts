import { type PageMap, pageLength, pageMapCodec } from "./page-map.ts";
import { invalidSnapshot } from "./snapshot-error.ts";
import { ComponentSet, saveComponent } from "./state-codec.ts";
import { encodeStateFile, parseStateFile } from "./state-file.ts";

/**
 * The pages that a guest needs until it has answered its first command: found once, and then brought in together, in
 * place of one fault after the other.
 */
export interface WorkingSet {
  /** All of them. */
  readonly touched: PageMap;
  /** Those that each machine has to have for itself. */
  readonly written: PageMap;
}

/**
 * Larger ones are of a guest that does more than start: bringing them in would cost what it should save. It also bounds what
 * the first command of one machine can make those that come after take of their host.
 */
export const maxWorkingSetPages: number = (32 * 2 ** 20) / pageLength;

/** The bytes of a snapshot's `working-set.bin`: the layout of a state file, with two page maps. */
export function encodeWorkingSet({ touched, written }: WorkingSet): Uint8Array {
  return encodeStateFile([
    saveComponent(pageMapCodec, touched, { instance: "touched" }),
    saveComponent(pageMapCodec, written, { instance: "written" }),
  ]);
}

/**
 * The inverse. Whatever it says, following it is harmless: it only brings in pages of a machine's own memory.
 *
 * @throws SupermachineError `SNAPSHOT_INVALID` or `SNAPSHOT_MISMATCH`, also when it is of a memory of another length.
 */
export function parseWorkingSet(bytes: Uint8Array, memoryLength: number): WorkingSet {
  const components = new ComponentSet(parseStateFile(bytes));
  const touched = components.take(pageMapCodec, { instance: "touched" });
  const written = components.take(pageMapCodec, { instance: "written" });
  components.finish();
  for (const map of [touched, written])
    if (map.pages * pageLength !== memoryLength || map.count > maxWorkingSetPages)
      throw invalidSnapshot("its working set is of another memory");
  return { touched, written };
}
