// What only a real process shows: signals, closed pipes, exit codes, terminals.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { after, test } from "node:test";

const program = join(import.meta.dirname, "fake-supermachine.js");

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts the fake program; `onOutput` sees all of standard output so far. */
async function run(
  args: readonly string[],
  onOutput: (text: string, kill: (signal: NodeJS.Signals) => void) => void = () => {},
): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  let stdout = "";
  child.stdout.on("data", (bytes: Buffer) => {
    stdout += bytes.toString();
    onOutput(stdout, (signal) => void child.kill(signal));
  });
  const [stderr] = await Promise.all([buffer(child.stderr), once(child, "close")]);
  return { code: child.exitCode, stdout, stderr: stderr.toString() };
}

for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
  ["SIGQUIT", 131],
] as const)
  test(`${signal} goes to the guest command, whose end becomes ours`, async () => {
    const result = await run(["run", "alpine", "wait"], (text, kill) => {
      if (text === "ready\n") kill(signal);
    });
    assert.deepEqual(result, { code, stdout: `ready\ngot ${signal}\n`, stderr: "" });
  });

test("the third interrupt ends a command that does not listen", async () => {
  const result = await run(["run", "alpine", "deaf"], (text, kill) => {
    // Again and again: what is written in between says that the last one has arrived.
    if (text !== "") kill("SIGINT");
  });
  assert.equal(result.stdout, "ready\ngot SIGINT\ngot SIGINT\n");
  assert.equal(result.code, 137);
  assert.match(result.stderr, /Ctrl-C once more/);
});

test("a reader that goes away ends a command that writes without end, quietly", () => {
  const script = `"$0" "$1" run alpine flood | head -c 100000 | wc -c; echo "\${PIPESTATUS[0]}"`;
  const output = execFileSync("bash", ["-c", script, process.execPath, program], {
    encoding: "utf8",
    timeout: 20_000,
    stdio: ["ignore", "pipe", "pipe"],
  });
  assert.equal(output, "100000\n141\n");
});

test("a command that can never finish says so", async () => {
  const { code, stdout, stderr } = await run(["logs", "-f", "web"]);
  assert.deepEqual([code, stdout], [125, ""]);
  assert.match(stderr, /^supermachine: Internal error: nothing is left/);
});

test("large input and output pass through whole", () => {
  const script = `head -c 5000000 /dev/zero | "$0" "$1" run -i alpine cat | wc -c`;
  const output = execFileSync("bash", ["-c", script, process.execPath, program], {
    encoding: "utf8",
    timeout: 30_000,
  });
  assert.equal(output, "5000000\n");
});

test("on a terminal, -it passes keys on raw, tells the size, and gives the terminal back", async () => {
  const socket = `supermachine-cli-${process.pid}`;
  const tmux = (...args: string[]): string =>
    execFileSync("tmux", ["-L", socket, ...args], { encoding: "utf8" });
  const shows = async (pattern: RegExp): Promise<void> => {
    for (let tries = 0; tries < 100; tries++) {
      if (pattern.test(tmux("capture-pane", "-p", "-t", "main"))) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.fail(`The screen never showed ${pattern}:\n${tmux("capture-pane", "-p", "-t", "main")}`);
  };
  after(() => tmux("kill-server"));
  tmux("-f", "/dev/null", "new-session", "-d", "-s", "main", "-x", "100", "-y", "30", "sh");
  const type = (text: string): string => tmux("send-keys", "-t", "main", text, "Enter");
  type(
    `stty -g > /tmp/${socket}.before; clear; ${process.execPath} ${program} run -it alpine cat; echo "code=$?"`,
  );
  await new Promise((resolve) => setTimeout(resolve, 1500));
  tmux("resize-window", "-t", "main", "-x", "90", "-y", "20");
  await shows(/size 90x20/);
  // Raw: an interrupt key is a byte for the guest, not a signal for us; the fake cat echoes what it gets.
  tmux("send-keys", "-t", "main", "abc");
  await shows(/abc/);
  const pid = execFileSync("pgrep", ["-f", `${program} run -it`], { encoding: "utf8" })
    .trim()
    .split("\n")
    .at(-1);
  process.kill(Number(pid), "SIGTERM");
  await shows(/code=143/);
  tmux("resize-window", "-t", "main", "-x", "100", "-y", "30");
  type(
    `stty -g > /tmp/${socket}.after; cmp /tmp/${socket}.before /tmp/${socket}.after && echo "same terminal"; rm /tmp/${socket}.*`,
  );
  await shows(/^same terminal/m);
});
