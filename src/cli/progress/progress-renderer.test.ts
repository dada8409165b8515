import assert from "node:assert/strict";
import { test } from "node:test";
import type { ProgressEvent } from "../../progress/progress.ts";
import { displayWidth } from "../output/display-width.ts";
import { styleFor } from "../output/style.ts";
import { ProgressBoard } from "./progress-board.ts";
import { createProgressRenderer } from "./progress-renderer.ts";
import { liveLine } from "./progress-text.ts";

const MB = 1_000_000;

function recorder(terminal: Partial<{ isTTY: boolean; columns: number; rows: number }> = {}) {
  const written: string[] = [];
  const clock = { nowMs: 0 };
  const stream = { write: (text: string) => written.push(text), ...terminal };
  const make = (quiet = false, env = {}) =>
    createProgressRenderer({ stream, env, quiet, style: styleFor({}, {}), nowMs: () => clock.nowMs });
  return { written, clock, make };
}

const download = (done: number, state: ProgressEvent["state"] = "active"): ProgressEvent => ({
  phase: "download",
  id: "abc123",
  state,
  done,
  total: 10 * MB,
});

test("without a terminal: one line at the end, one at the start of what lasts, one in a while between", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { written, clock, make } = recorder();
  const { listener, finish } = make();
  listener({ ...download(MB), id: "short" });
  listener({ ...download(10 * MB, "done"), id: "short" });
  for (clock.nowMs = 0; clock.nowMs < 20_000; clock.nowMs += 10) {
    listener(download((clock.nowMs / 20_000) * 10 * MB));
    t.mock.timers.tick(10);
  }
  listener(download(10 * MB, "done"));
  finish();
  assert.deepEqual(written, [
    "Fetched layer short (10.0 MB, 0 ms)\n",
    "Fetching layer abc123 (10.0 MB)\n",
    "Fetching layer abc123  [################....]  8.00 MB / 10.0 MB  500 kB/s\n",
    "Fetched layer abc123 (10.0 MB, 20.0 s)\n",
  ]);
});

test("cached pieces, starting machines and quiet runs leave no lines", () => {
  const { written, make } = recorder();
  const { listener } = make();
  listener({ phase: "download", id: "x", state: "cached" });
  listener({ phase: "resolve", id: "", state: "active" });
  listener({ phase: "boot", id: "", state: "active" });
  listener({ phase: "boot", id: "", state: "done" });
  make(true).listener(download(1));
  assert.deepEqual(written, []);
});

test("on a terminal live lines are erased, and only what lasted stays", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { written, clock, make } = recorder({ isTTY: true, columns: 80, rows: 24 });
  const { listener, finish } = make();
  listener(download(MB));
  assert.deepEqual(written, [], "nothing flashes before it lasts");
  clock.nowMs = 500;
  t.mock.timers.tick(500);
  assert.match(written.join(""), /Fetching layer abc123 {2}\[##\.+\] {2}1\.00 MB \/ 10\.0 MB/);
  clock.nowMs = 2000;
  listener(download(10 * MB, "done"));
  assert.equal(written.at(-1), "\r\u001b[1A\u001b[2KFetched layer abc123 (10.0 MB, 2.0 s)\n");
  finish();
  finish();
  listener(download(1));
  assert.equal(screen(written.join("")), "Fetched layer abc123 (10.0 MB, 2.0 s)\n");
});

test("a small terminal shows as many lines as fit, and the number of the others", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { written, make } = recorder({ isTTY: true, columns: 80, rows: 5 });
  const { listener, finish } = make();
  for (let index = 0; index < 9; index++) listener({ ...download(MB), id: `layer${index}` });
  t.mock.timers.tick(200);
  const lines = screen(written.join("")).trimEnd().split("\n");
  assert.equal(lines.length, 3);
  assert.equal(lines[2], "... and 7 more");
  finish();
  assert.equal(screen(written.join("")), "");
});

test("live lines fit terminals of any width, losing the bar first", () => {
  const board = new ProgressBoard();
  board.update(download(0), 0);
  const change = board.update(download(4 * MB), 2000);
  assert.ok(change);
  for (let columns = 1; columns < 120; columns++)
    assert.ok(displayWidth(liveLine(change.task, { columns, nowMs: 2000 })) <= columns);
  assert.equal(
    liveLine(change.task, { columns: 60, nowMs: 2000 }),
    "Fetching layer abc123  4.00 MB / 10.0 MB  2.00 MB/s",
  );
  assert.equal(
    liveLine(change.task, { columns: 44, nowMs: 2000 }),
    "Fetching layer abc123  4.00 MB / 10.0 MB",
  );
  assert.equal(liveLine(change.task, { columns: 8, nowMs: 2000 }), "Fetchin…");
});

test("names from outside cannot control the terminal", () => {
  const board = new ProgressBoard();
  const change = board.update({ ...download(1), id: "\u001b[2J\r" }, 0);
  assert.ok(change);
  const line = liveLine(change.task, { columns: 100, nowMs: 1 });
  assert.ok(!line.includes("\u001b") && !line.includes("\r"), line);
});

/** What a terminal shows after this text: just enough of one for the three sequences that are used. */
function screen(text: string): string {
  const lines = [""];
  let row = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about
  for (const token of text.split(/(?=\r|\n|\x1b)|(?<=\r|\n|\x1b\[1A|\x1b\[2K)/)) {
    if (token === "\u001b[1A") row--;
    else if (token === "\u001b[2K") lines[row] = "";
    else if (token === "\n") {
      row++;
      lines[row] ??= "";
    } else if (token !== "\r") lines[row] = token;
  }
  return lines.slice(0, row + 1).join("\n");
}
