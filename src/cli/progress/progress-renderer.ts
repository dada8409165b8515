import type { ProgressEvent, ProgressListener } from "../../progress/progress.ts";
import type { Style } from "../output/style.ts";
import { ProgressBoard, type Task } from "./progress-board.ts";
import { doneLine, liveLine, startLine, stillLine } from "./progress-text.ts";

/** The part of a terminal's stream that drawing needs. */
export interface ProgressStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

/** Shows progress until `finish`; after it, events are ignored, so that late ones do not spoil other output. */
export interface ProgressRenderer {
  readonly listener: ProgressListener;
  /** Prints a line above the live ones. */
  note(line: string): void;
  /** Removes the live lines. Idempotent. */
  finish(): void;
}

export interface ProgressOptions {
  readonly stream: ProgressStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly quiet: boolean;
  readonly style: Style;
  readonly nowMs?: () => number;
}

/** Live lines on a terminal, one line per change elsewhere, nothing when quiet. */
export function createProgressRenderer(options: ProgressOptions): ProgressRenderer {
  if (options.quiet) return silentRenderer(options.stream);
  const live = options.stream.isTTY === true && options.env["TERM"] !== "dumb";
  return live ? liveRenderer(options) : plainRenderer(options);
}

function silentRenderer(stream: ProgressStream): ProgressRenderer {
  return { listener: () => {}, note: (line) => void stream.write(`${line}\n`), finish: () => {} };
}

/** Work that is done by then has only its last line in a log. */
const announceMs = 1000;
/** How long a piece of work may go on in a log before it says again how far it is. */
const repeatMs = 15_000;

function plainRenderer(options: ProgressOptions): ProgressRenderer {
  const { stream, nowMs = () => performance.now() } = options;
  const board = new ProgressBoard();
  const timers = new Map<Task, NodeJS.Timeout>();
  let finished = false;
  const say = (line: string | undefined) => {
    if (line !== undefined) stream.write(`${line}\n`);
  };
  const later = (task: Task, delayMs: number) => {
    const timer = setTimeout(() => {
      if (finished || task.endedMs !== undefined) return;
      say(delayMs === announceMs ? startLine(task) : stillLine(task, nowMs()));
      later(task, repeatMs);
    }, delayMs);
    timers.set(task, timer.unref());
  };
  return {
    listener: (event: ProgressEvent) => {
      const change = finished ? undefined : board.update(event, nowMs());
      if (change === undefined) return;
      if (change.started) later(change.task, announceMs);
      if (!change.ended) return;
      clearTimeout(timers.get(change.task));
      timers.delete(change.task);
      say(doneLine(change.task));
    },
    note: say,
    finish: () => {
      finished = true;
      for (const timer of timers.values()) clearTimeout(timer);
    },
  };
}

const redrawMs = 80;
/** Nothing is drawn before this: work that ends sooner should not flash. */
const firstDrawMs = 120;
const maximumLines = 10;

function liveRenderer(options: ProgressOptions): ProgressRenderer {
  const { stream, style, nowMs = () => performance.now() } = options;
  const board = new ProgressBoard();
  let drawn = 0;
  let finished = false;
  let timer: NodeJS.Timeout | undefined;

  const erase = () => (drawn === 0 ? "" : `\r${"\u001b[1A\u001b[2K".repeat(drawn)}`);
  const draw = (above = "") => {
    // One column stays free: a full line would wrap on some terminals and break the counting.
    const columns = Math.max(10, (stream.columns || 80) - 1);
    const room = Math.max(1, Math.min(maximumLines, (stream.rows || 24) - 2));
    const tasks = finished ? [] : board.active();
    const now = nowMs();
    const lines = tasks.slice(0, room).map((task) => style.dim(liveLine(task, { columns, nowMs: now })));
    if (tasks.length > room) lines[room - 1] = style.dim(`... and ${tasks.length - room + 1} more`);
    const text = `${erase()}${above}${lines.map((line) => `${line}\n`).join("")}`;
    drawn = lines.length;
    if (text !== "") stream.write(text);
    schedule(redrawMs);
  };
  const schedule = (delayMs: number) => {
    timer ??= setTimeout(() => {
      timer = undefined;
      if (!finished && (drawn > 0 || board.active().length > 0)) draw();
    }, delayMs);
    timer.unref();
  };
  return {
    listener: (event: ProgressEvent) => {
      if (finished) return;
      const change = board.update(event, nowMs());
      const line = change?.ended === true ? doneLine(change.task) : undefined;
      if (line !== undefined) draw(`${line}\n`);
      else schedule(firstDrawMs);
    },
    note: (line) => {
      if (finished) stream.write(`${line}\n`);
      else draw(`${line}\n`);
    },
    finish: () => {
      if (finished) return;
      finished = true;
      if (timer !== undefined) clearTimeout(timer);
      const text = erase();
      drawn = 0;
      if (text !== "") stream.write(text);
    },
  };
}
