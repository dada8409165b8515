import type { StateCodec } from "../snapshot/state-codec.ts";
import { type BackendState, encodeState, parseState, requireState } from "./state.ts";

/** Codec of what a backend saved of its VM ("vm") or of one processor ("vcpu"), for this backend alone. */
export function backendStateCodec(backend: string, subject: "vm" | "vcpu"): StateCodec<BackendState> {
  return {
    id: subject,
    version: 1,
    migrations: [],
    encode: encodeState,
    parse(bytes) {
      const state = parseState(bytes);
      requireState(state, backend, subject);
      return state;
    },
  };
}
