import * as v from "valibot";
import { invalidSnapshot } from "./snapshot-error.ts";
import type { StateCodec } from "./state-codec.ts";

export interface JsonCodecOptions<State> {
  readonly id: string;
  readonly version: number;
  /** What a state looks like, with every bound; strict, so that nothing unknown is let through. */
  readonly schema: v.GenericSchema<unknown, State>;
  readonly migrations?: StateCodec<State>["migrations"];
}

/** States are small: a queue is 200 bytes. */
const maxLength = 1024 * 1024;

/** For state that is plain data with a few fields; stored as JSON. */
export function jsonCodec<State>(options: JsonCodecOptions<State>): StateCodec<State> {
  const { id, version, schema, migrations = [] } = options;
  return {
    id,
    version,
    migrations,
    encode: (state) => new TextEncoder().encode(JSON.stringify(v.parse(schema, state))),
    parse(bytes) {
      if (bytes.length > maxLength) throw invalidSnapshot(`its ${id} state is too long`);
      const result = v.safeParse(schema, parseJson(id, bytes), { abortEarly: true });
      if (result.success) return result.output;
      const path = v.getDotPath(result.issues[0])?.slice(0, 100);
      throw invalidSnapshot(`its ${id} state is impossible${path === undefined ? "" : ` at '${path}'`}`);
    },
  };
}

function parseJson(id: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw invalidSnapshot(`its ${id} state is not JSON`, cause);
  }
}
