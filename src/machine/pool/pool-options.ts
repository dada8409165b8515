import { availableParallelism } from "node:os";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { longestTimerMs } from "../clock.ts";
import { Machine } from "../machine.ts";
import { resolveMachine } from "../machine-spec.ts";
import { parseMemory } from "../memory-size.ts";
import type { MachineOptions } from "../types.ts";
import { AdmissionGate } from "./admission-gate.ts";
import { sharedMemoryGate, sharedStartGate } from "./host-limits.ts";
import { type ReleaseAction, releaseActions } from "./lease.ts";
import type { PoolSettings } from "./pool-parts.ts";

/** How a pool keeps its machines. Everything has a default. */
export interface PoolLimits {
  /** Machines kept ready beyond those that are in use, as far as `max` allows. Started in advance. Default 1. */
  min?: number | undefined;
  /** Machines alive at any time, whatever they are doing; 1 to 10,000. Default: two per core, at least 4. */
  max?: number | undefined;
  /** Machines beyond `min` that nobody has used for so long are ended. Infinity: never. Default 60,000. */
  idleTimeoutMs?: number | undefined;
  /** How long `acquire` waits for a machine. Infinity: for ever. Default 300,000: a pull and a slow start fit in. */
  acquireTimeoutMs?: number | undefined;
  /** What becomes of a machine that is given back. Default "reset". */
  onRelease?: ReleaseAction | undefined;
  /**
   * How many machines of this pool may be starting at once; 0: any number. Default: 16, or 4 per core if that is more,
   * counted over all pools of the process that leave it at that.
   */
  maxStarting?: number | undefined;
  /**
   * How much guest memory the pool's machines may have in all; a number is MiB, a string names its unit. A start that
   * would exceed it waits. Default: 80 % of the host's memory, counted over all pools of the process that leave it at
   * that.
   */
  hostMemory?: number | string | undefined;
  /** Closes the pool when it is aborted. */
  signal?: AbortSignal | undefined;
}

/** A pool of machines that are all made alike. */
export interface ImagePoolOptions
  extends PoolLimits,
    Omit<MachineOptions, "name" | "detached" | "remove" | "signal"> {
  /** As for `Machine.create`. */
  image: string;
  create?: undefined;
}

/** A pool of machines that its user makes. */
export interface CustomPoolOptions extends PoolLimits {
  /**
   * Makes one machine, which then is the pool's to end. Should give up when the signal is aborted, and must leave
   * nothing behind when it fails.
   */
  create(options: { signal: AbortSignal }): Promise<Machine>;
  image?: undefined;
  /** What each machine has; a number is MiB, a string names its unit. For `hostMemory`. Default 512 MiB. */
  memory?: number | string | undefined;
}

/** Options of a pool: how it keeps its machines, and either an image with its options or a function that makes machines. */
export type PoolOptions = ImagePoolOptions | CustomPoolOptions;

/** A pool's options, checked, with every default filled in. */
export interface ResolvedPool {
  readonly settings: PoolSettings;
  readonly starts: AdmissionGate;
  readonly memory: AdmissionGate;
  create(signal: AbortSignal): Promise<Machine>;
}

const mostMachines = 10_000;

/**
 * Checks the options without doing anything yet.
 *
 * @throws SupermachineError `INVALID_ARGUMENT` naming the option.
 */
export function resolvePool(options: PoolOptions): ResolvedPool {
  const { min, max, idleTimeoutMs, acquireTimeoutMs, onRelease, maxStarting, hostMemory, signal, ...rest } =
    options;
  const recipe = recipeOf(rest);
  const most = wholeNumber("max", max ?? Math.max(4, 2 * availableParallelism()), [1, mostMachines]);
  const starting = wholeNumber("maxStarting", maxStarting ?? 0, [0, mostMachines]);
  const memory = hostMemory === undefined ? sharedMemoryGate() : new AdmissionGate(parseMemory(hostMemory));
  if (recipe.memoryMiB > memory.limit)
    throw invalid("hostMemory", `is ${memory.limit} MiB, and one machine has ${recipe.memoryMiB} MiB`);
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw invalid("signal", "is no AbortSignal");
  return {
    settings: {
      min: wholeNumber("min", min ?? Math.min(1, most), [0, most]),
      max: most,
      idleTimeoutMs: duration("idleTimeoutMs", idleTimeoutMs ?? 60_000),
      acquireTimeoutMs: duration("acquireTimeoutMs", acquireTimeoutMs ?? 300_000),
      onRelease: releaseAction(onRelease ?? "reset"),
      memoryMiB: recipe.memoryMiB,
    },
    starts:
      maxStarting === undefined
        ? sharedStartGate()
        : new AdmissionGate(starting === 0 ? Number.POSITIVE_INFINITY : starting),
    memory,
    create: recipe.create,
  };
}

interface Recipe {
  readonly memoryMiB: number;
  readonly create: ResolvedPool["create"];
}

/** What makes the machines, and how much memory each has. What is wrong with the machine's options shows here already. */
function recipeOf(
  options: Omit<ImagePoolOptions, keyof PoolLimits> | Omit<CustomPoolOptions, keyof PoolLimits>,
): Recipe {
  const { create, image, ...machine } = options;
  if (create !== undefined) {
    const { memory, ...unknown } = machine;
    const [name] = Object.keys(unknown);
    if (image !== undefined) throw invalid("image", "cannot be given together with 'create'");
    if (typeof create !== "function") throw invalid("create", "is no function");
    if (name !== undefined) throw invalid(name, "means nothing together with 'create'");
    const { memoryMiB } = resolveMachine("any", { memory }, { cpus: 1 });
    return { memoryMiB, create: async (signal) => create({ signal }) };
  }
  for (const name of ["name", "detached", "remove"])
    if (name in machine) throw invalid(name, "cannot be chosen for the machines of a pool");
  const { memoryMiB, ports } = resolveMachine(image ?? "", machine, { cpus: availableParallelism() });
  if (ports.some(({ port }) => port !== 0))
    throw invalid(
      "ports",
      "names a host port, and only one machine can have that",
      "Publish host port 0: any free one",
    );
  return { memoryMiB, create: (signal) => Machine.create(image ?? "", { ...machine, signal }) };
}

function wholeNumber(option: string, value: number, [least, most]: readonly [number, number]): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw invalid(option, `is ${value}, where a whole number from ${least} to ${most} is expected`);
}

function duration(option: string, value: number): number {
  if (value === Number.POSITIVE_INFINITY || (value >= 0 && value <= longestTimerMs)) return value;
  throw invalid(option, `is ${value}, where 0 to ${longestTimerMs} milliseconds or Infinity is expected`);
}

function releaseAction(value: ReleaseAction): ReleaseAction {
  if (releaseActions.includes(value)) return value;
  throw invalid("onRelease", `is '${value}', where ${releaseActions.join(", ")} are expected`);
}

function invalid(option: string, problem: string, hint?: string): SupermachineError {
  return new SupermachineError("INVALID_ARGUMENT", `The pool option '${option}' ${problem}`, { hint });
}
