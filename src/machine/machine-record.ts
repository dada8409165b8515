import * as v from "valibot";
import type { ProcessIdentity } from "../storage/process-identity.ts";
import type { GuestDefaults } from "./guest-command.ts";
import type { MachineConfig, MachineExit, MachineInfo, MachineState } from "./types.ts";

/** What `machine.json` holds: everything that other processes can know about a machine. */
export interface MachineRecord {
  /** Of this format. */
  readonly version: 2;
  readonly info: MachineInfo;
  readonly config: MachineConfig;
  readonly defaults: GuestDefaults;
  /** Who must be alive for the machine to be: its creator at first, then its monitor. */
  readonly owner: ProcessIdentity;
  /** The guest's process, to be ended when its monitor was killed. */
  readonly guest?: ProcessIdentity;
  /** Folder of the sockets, outside the machine's own folder when that has too long a path. */
  readonly runDirectory: string;
}

const live: readonly MachineState[] = ["creating", "running", "stopping"];

/** True while the machine is not known to have ended. */
export function isLive(record: MachineRecord): boolean {
  return live.includes(record.info.state);
}

/** The record with some of its public facts replaced. */
export function withInfo(record: MachineRecord, changes: Partial<MachineInfo>): MachineRecord {
  return { ...record, info: { ...record.info, ...changes } };
}

/** The record of a machine that has ended. */
export function ended(record: MachineRecord, exit: MachineExit): MachineRecord {
  const state = exit.reason === "crashed" ? "crashed" : "stopped";
  return withInfo(record, { state, exit, finishedAt: Date.now() });
}

/**
 * Reads `machine.json`; undefined for what is none, or of another version. Only the parts on which this package acts
 * are checked one by one: the folder is the user's own.
 */
export function parseRecord(text: string): MachineRecord | undefined {
  try {
    const parsed = v.safeParse(schema, JSON.parse(text));
    return parsed.success ? (parsed.output as unknown as MachineRecord) : undefined;
  } catch {
    return undefined;
  }
}

const identity = v.object({
  place: v.string(),
  pid: v.pipe(v.number(), v.integer(), v.minValue(1)),
  started: v.string(),
});
const strings = v.array(v.string());
const schema = v.looseObject({
  version: v.literal(2),
  info: v.looseObject({
    id: v.pipe(v.string(), v.regex(/^[0-9a-f]{12}$/)),
    name: v.string(),
    state: v.picklist([...live, "stopped", "crashed"]),
    image: v.string(),
    imageDigest: v.string(),
    createdAt: v.number(),
    ports: v.array(v.object({ host: v.string(), port: v.number(), guestPort: v.number() })),
    timings: v.array(v.object({ phase: v.string(), ms: v.number() })),
  }),
  config: v.looseObject({ detached: v.boolean(), remove: v.boolean() }),
  defaults: v.object({
    env: strings,
    workingDir: v.string(),
    user: v.string(),
    entrypoint: strings,
    cmd: strings,
    stopSignal: v.string(),
  }),
  owner: identity,
  guest: v.optional(identity),
  runDirectory: v.string(),
});
