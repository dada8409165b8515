import type { ProgressEvent } from "../../progress/progress.ts";

/** One piece of work as last reported. Times are in milliseconds of the clock that the caller reads. */
export interface Task {
  readonly phase: ProgressEvent["phase"];
  readonly id: string;
  state: ProgressEvent["state"];
  done: number | undefined;
  total: number | undefined;
  readonly startedMs: number;
  endedMs: number | undefined;
  /** Recent positions, oldest first, for the rate. */
  readonly samples: { readonly atMs: number; readonly done: number }[];
}

/** How far back the rate looks. */
const rateWindowMs = 3000;
/** A sample at most every so often, which bounds their number. */
const sampleEveryMs = 200;
/** More pieces than any image may have layers; beyond it, events of new pieces are dropped. */
const maximumTasks = 4096;

/** Keeps the newest state of every piece of work; draws nothing. */
export class ProgressBoard {
  readonly #tasks = new Map<string, Task>();

  /** Takes an event in; returns the task and what is new about it, or nothing when it is dropped. */
  update(event: ProgressEvent, nowMs: number): { task: Task; started: boolean; ended: boolean } | undefined {
    const key = `${event.phase}\n${event.id}`;
    const known = this.#tasks.get(key);
    // A piece that starts anew (a retried download, a second image) is a new piece.
    const fresh = known === undefined || (known.endedMs !== undefined && event.state === "active");
    if (fresh && known === undefined && this.#tasks.size >= maximumTasks) return undefined;
    const task = fresh ? newTask(event, nowMs) : known;
    if (fresh) {
      this.#tasks.delete(key);
      this.#tasks.set(key, task);
    }
    const wasEnded = task.endedMs !== undefined;
    task.state = event.state;
    task.done = event.done ?? task.done;
    task.total = event.total ?? task.total;
    if (event.state !== "active") task.endedMs ??= nowMs;
    sample(task, nowMs);
    return { task, started: fresh, ended: !wasEnded && task.endedMs !== undefined };
  }

  /** Pieces not finished yet, oldest first. */
  active(): Task[] {
    return [...this.#tasks.values()].filter((task) => task.endedMs === undefined);
  }
}

/** Bytes per second over the last seconds; nothing until there is something to compare. */
export function rateOf(task: Task, nowMs: number): number | undefined {
  const first = task.samples[0];
  if (first === undefined || task.done === undefined) return undefined;
  const spanMs = nowMs - first.atMs;
  return spanMs < sampleEveryMs ? undefined : ((task.done - first.done) * 1000) / spanMs;
}

function newTask(event: ProgressEvent, nowMs: number): Task {
  return {
    phase: event.phase,
    id: event.id,
    state: event.state,
    done: event.done,
    total: event.total,
    startedMs: nowMs,
    endedMs: undefined,
    samples: [],
  };
}

function sample(task: Task, nowMs: number): void {
  if (task.done === undefined) return;
  const last = task.samples.at(-1);
  if (last !== undefined && nowMs - last.atMs < sampleEveryMs) return;
  task.samples.push({ atMs: nowMs, done: task.done });
  while (task.samples.length > 2 && nowMs - (task.samples[0]?.atMs ?? nowMs) > rateWindowMs)
    task.samples.shift();
}
