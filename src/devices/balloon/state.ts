import * as v from "valibot";
import { jsonCodec } from "../../snapshot/json-codec.ts";
import type { StateCodec } from "../../snapshot/state-codec.ts";

/** What a balloon has to remember besides its queues, so that host and guest agree after a restore. */
export interface BalloonState {
  /** Pages of 4 KiB that the host has asked for. */
  readonly targetPages: number;
  /** Pages that the guest says are in the balloon. */
  readonly actualPages: number;
}

const pages = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffff_ffff));

export const balloonStateCodec: StateCodec<BalloonState> = jsonCodec<BalloonState>({
  id: "virtio-balloon",
  version: 1,
  schema: v.strictObject({ targetPages: pages, actualPages: pages }),
});
