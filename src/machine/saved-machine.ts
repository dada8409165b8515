import * as v from "valibot";
import { jsonCodec } from "../snapshot/json-codec.ts";
import type { StateCodec } from "../snapshot/state-codec.ts";
import type { GuestDefaults } from "./guest-command.ts";

/** What a snapshot of a machine remembers besides memory and state: enough to make a machine of it again. */
export interface SavedMachine {
  /** Canonical name of the image, and its digest. */
  readonly image: string;
  readonly imageDigest: string;
  /** Name of the EROFS image below the home's `rootfs`. */
  readonly rootfs: string;
  readonly defaults: GuestDefaults;
  /** The main command, and its process in the guest; absent for an idle machine. */
  readonly main?: { readonly argv: readonly string[]; readonly pid: number };
}

const text = v.pipe(v.string(), v.maxLength(64 * 1024));
const texts = v.pipe(v.array(text), v.maxLength(64 * 1024));

export const savedMachineCodec: StateCodec<SavedMachine> = jsonCodec<SavedMachine>({
  id: "machine",
  version: 1,
  schema: v.strictObject({
    image: text,
    imageDigest: v.pipe(v.string(), v.regex(/^sha256:[0-9a-f]{64}$/)),
    // A plain name: it becomes a part of a path.
    rootfs: v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$/)),
    defaults: v.strictObject({
      env: texts,
      workingDir: text,
      user: text,
      entrypoint: texts,
      cmd: texts,
      stopSignal: text,
    }),
    main: v.exactOptional(
      v.strictObject({
        argv: texts,
        pid: v.pipe(v.number(), v.integer(), v.minValue(2), v.maxValue(2 ** 22)),
      }),
    ),
  }),
});
