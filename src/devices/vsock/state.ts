import * as v from "valibot";
import { jsonCodec } from "../../snapshot/json-codec.ts";
import type { StateCodec } from "../../snapshot/state-codec.ts";

/** What a socket device has to remember besides its queues. Connections do not survive a restore. */
export interface VsockState {
  /** Port that the next connection from the host comes from: one that the restored guest has not seen yet. */
  readonly nextLocalPort: number;
}

/** Ports below may be listened on; above, connections to the guest come from there. */
export const FIRST_LOCAL_PORT = 0x4000_0000;
export const LAST_LOCAL_PORT = 0xffff_fffe;

export const vsockStateCodec: StateCodec<VsockState> = jsonCodec<VsockState>({
  id: "virtio-vsock",
  version: 1,
  schema: v.strictObject({
    nextLocalPort: v.pipe(v.number(), v.integer(), v.minValue(FIRST_LOCAL_PORT), v.maxValue(LAST_LOCAL_PORT)),
  }),
});
