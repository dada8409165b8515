import * as v from "valibot";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { defaultCpus } from "./default-cpus.ts";
import { parseMemory } from "./memory-size.ts";
import { parsePort } from "./published-port.ts";
import type { MachineConfig, MachineOptions } from "./types.ts";

/** Enough for Node, Python and their package managers, and small enough to start many. */
const defaultMemoryMiB = 512;
/** What the guest kernels are built for, and no monitor here has been tried with more. */
const mostCpus = 64;
const longestBootMs = 3_600_000;
/** Long enough for what somebody does next, most of the time, to find its caches. */
const defaultReclaimAfterMs = 15_000;
const longestReclaimAfterMs = 86_400_000;

/** What the defaults depend on. */
export interface HostFacts {
  readonly cpus: number;
}

/**
 * Fills in every default and checks every option; does nothing else. The result is plain, frozen data.
 *
 * @throws SupermachineError `INVALID_ARGUMENT` naming the option.
 */
export function resolveMachine(image: string, options: MachineOptions, host: HostFacts): MachineConfig {
  if (typeof image !== "string" || image === "") throw invalid("image", "is not a reference");
  const parsed = v.safeParse(schema, options);
  if (!parsed.success) throw invalidIssue(parsed.issues[0]);
  const given = parsed.output;
  return Object.freeze({
    image,
    name: given.name,
    memoryMiB: given.memory === undefined ? defaultMemoryMiB : parseMemory(given.memory),
    cpus: given.cpus ?? defaultCpus(host.cpus),
    env: Object.freeze(given.env ?? {}),
    workdir: given.workdir,
    user: given.user,
    hostname: given.hostname,
    network: given.network ?? "user",
    ports: Object.freeze((given.ports ?? []).map((port) => Object.freeze(parsePort(port)))),
    platform: given.platform,
    pull: given.pull ?? "missing",
    engine: given.engine ?? "auto",
    kernel: given.kernel,
    snapshot: given.snapshot,
    entrypoint: given.entrypoint && Object.freeze(given.entrypoint),
    command: given.command && Object.freeze(given.command),
    tty: given.tty ?? false,
    detached: given.detached ?? false,
    remove: given.remove ?? false,
    labels: Object.freeze(given.labels ?? {}),
    bootTimeoutMs: given.bootTimeoutMs,
    reclaimAfterMs: given.reclaimAfterMs ?? defaultReclaimAfterMs,
  });
}

const text = v.pipe(
  v.string(),
  v.check((value) => !value.includes("\0"), "contains a NUL character"),
);
const words = v.array(text);
const names = v.pipe(
  text,
  v.check((value) => value !== "" && !value.includes("="), "has a name that is empty or contains '='"),
);

const schema = v.strictObject({
  name: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/, "must be 1 to 63 letters, digits, '_', '.' or '-'"),
    ),
  ),
  memory: v.optional(v.union([v.number(), v.string()])),
  cpus: v.optional(
    v.pipe(
      v.number(),
      v.check((n) => Number.isInteger(n) && n >= 1 && n <= mostCpus, `must be 1 to ${mostCpus}`),
    ),
  ),
  env: v.optional(v.record(names, text)),
  workdir: v.optional(
    v.pipe(
      text,
      v.check((path) => path.startsWith("/"), "must be an absolute path"),
    ),
  ),
  user: v.optional(text),
  hostname: v.optional(
    v.pipe(v.string(), v.regex(/^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,61}[a-zA-Z0-9])?$/, "is not a host name")),
  ),
  network: v.optional(v.picklist(["user", "none"])),
  ports: v.optional(
    v.array(
      v.union([
        v.string(),
        v.object({
          host: v.exactOptional(v.string()),
          port: v.exactOptional(v.number()),
          guestPort: v.exactOptional(v.number()),
        }),
      ]),
    ),
  ),
  platform: v.optional(v.string()),
  pull: v.optional(v.picklist(["missing", "always", "never"])),
  engine: v.optional(v.picklist(["auto", "vmm", "qemu"])),
  kernel: v.optional(text),
  snapshot: v.optional(v.literal(false)),
  entrypoint: v.optional(words),
  command: v.optional(words),
  tty: v.optional(v.boolean()),
  detached: v.optional(v.boolean()),
  remove: v.optional(v.boolean()),
  labels: v.optional(v.record(v.string(), v.string())),
  bootTimeoutMs: v.optional(
    v.pipe(
      v.number(),
      v.check((ms) => ms >= 1 && ms <= longestBootMs, `must be 1 to ${longestBootMs} milliseconds`),
    ),
  ),
  reclaimAfterMs: v.optional(
    v.union([
      v.literal(false),
      v.pipe(
        v.number(),
        v.check(
          (ms) => ms >= 1 && ms <= longestReclaimAfterMs,
          `must be 1 to ${longestReclaimAfterMs} milliseconds, or false`,
        ),
      ),
    ]),
  ),
  home: v.optional(text),
  onProgress: v.optional(v.function()),
  onWarning: v.optional(v.function()),
  signal: v.optional(v.instance(AbortSignal)),
});

function invalidIssue(issue: v.BaseIssue<unknown>): SupermachineError {
  const path = v.getDotPath(issue) ?? "options";
  if (issue.type === "strict_object" && issue.expected === "never")
    return invalid(path, "does not exist", "See MachineOptions for those there are");
  if (issue.type === "check" || issue.type === "regex") return invalid(path, issue.message);
  return invalid(path, `is ${issue.received}, where ${issue.expected} is expected`);
}

function invalid(option: string, problem: string, hint?: string): SupermachineError {
  return new SupermachineError("INVALID_ARGUMENT", `The machine option '${option}' ${problem}`, { hint });
}
