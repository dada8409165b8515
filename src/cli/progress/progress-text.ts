import { displayWidth, fitWidth } from "../output/display-width.ts";
import { printable } from "../output/printable.ts";
import { formatBytes, formatDuration } from "../output/quantities.ts";
import { rateOf, type Task } from "./progress-board.ts";

const barWidth = 20;
/** Fast work is not worth a line of its own. */
const quietMs = 300;

/** One live line, at most `columns` wide; a narrow terminal loses the bar first, then the rate, then the label's end. */
export function liveLine(task: Task, view: { columns: number; nowMs: number }): string {
  const label = labelOf(task, "active");
  const amount = amountOf(task);
  const rate = task.total === undefined && task.done === undefined ? undefined : rateOf(task, view.nowMs);
  const rateText = rate === undefined || rate <= 0 ? "" : `${formatBytes(rate)}/s`;
  const elapsed = task.done === undefined ? formatDuration(view.nowMs - task.startedMs) : "";
  for (const parts of [
    [label, barOf(task), amount, rateText, elapsed],
    [label, amount, rateText, elapsed],
    [label, amount, elapsed],
  ]) {
    const line = parts.filter((part) => part !== "").join("  ");
    if (displayWidth(line) <= view.columns) return line;
  }
  return fitWidth(label, view.columns);
}

/** The line that stays when a piece is done, or nothing when it is not worth one. */
export function doneLine(task: Task): string | undefined {
  if (task.state === "cached" || task.endedMs === undefined || !lasting.has(task.phase)) return undefined;
  const tookMs = task.endedMs - task.startedMs;
  if (tookMs < quietMs && task.total === undefined) return undefined;
  const size = task.total ?? task.done;
  const facts = [size === undefined ? "" : formatBytes(size), formatDuration(tookMs)].filter(
    (fact) => fact !== "",
  );
  return `${labelOf(task, "done")} (${facts.join(", ")})`;
}

/** The line for a piece that starts, where lines cannot be redrawn. */
export function startLine(task: Task): string | undefined {
  if (task.state === "cached" || !lasting.has(task.phase)) return undefined;
  return `${labelOf(task, "active")}${task.total === undefined ? "" : ` (${formatBytes(task.total)})`}`;
}

/** The line for a piece that goes on and on, where lines cannot be redrawn. */
export function stillLine(task: Task, nowMs: number): string | undefined {
  return lasting.has(task.phase) ? liveLine(task, { columns: 200, nowMs }) : undefined;
}

/** Phases that change something on disk: worth a line in a log. The others only matter while one waits for them. */
const lasting: ReadonlySet<Task["phase"]> = new Set(["download", "convert", "kernel", "agent", "warm-up"]);

const words: Readonly<Record<Task["phase"], { active: string; done: string }>> = {
  resolve: { active: "Resolving", done: "Resolved" },
  download: { active: "Fetching layer", done: "Fetched layer" },
  unpack: { active: "Unpacking", done: "Unpacked" },
  convert: { active: "Building the root file system", done: "Built the root file system" },
  kernel: { active: "Preparing the guest kernel", done: "Prepared the guest kernel" },
  agent: { active: "Preparing the guest agent", done: "Prepared the guest agent" },
  "warm-up": { active: "Warming up", done: "Warmed up" },
  boot: { active: "Starting the machine", done: "Started the machine" },
};

function labelOf(task: Task, tense: "active" | "done"): string {
  const word = words[task.phase][tense];
  return task.id === "" ? word : `${word} ${printable(task.id)}`;
}

function amountOf(task: Task): string {
  if (task.done === undefined) return "";
  return task.total === undefined
    ? formatBytes(task.done)
    : `${formatBytes(task.done)} / ${formatBytes(task.total)}`;
}

function barOf(task: Task): string {
  if (task.done === undefined || task.total === undefined || task.total <= 0) return "";
  const filled = Math.round(barWidth * Math.min(1, Math.max(0, task.done / task.total)));
  return `[${"#".repeat(filled)}${".".repeat(barWidth - filled)}]`;
}
