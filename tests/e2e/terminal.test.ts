// `-t` as a person uses it: tmux is the terminal.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { checkout, testImage } from "../fixtures/images.ts";
import { TestHome } from "./cli.ts";

describe("run -it", () => {
  let home: TestHome;
  const socket = `supermachine-test-${process.pid}`;
  const tmux = (...args: string[]): string =>
    execFileSync("tmux", ["-L", socket, ...args], { encoding: "utf8" });
  const screen = (): string => tmux("capture-pane", "-p", "-t", "main");
  before(() => {
    home = new TestHome();
  });
  after(async () => {
    tmux("kill-server");
    await home[Symbol.asyncDispose]();
  });

  test("is a terminal: echo, line editing, size, resize, interrupt, exit code", async () => {
    const command = `SUPERMACHINE_HOME=${home.path} ${join(checkout, "bin", "supermachine")} run -it ${testImage("busybox").layout} sh`;
    tmux("-f", "/dev/null", "new-session", "-d", "-s", "main", "-x", "100", "-y", "30", "sh");
    const type = (text: string): string => tmux("send-keys", "-t", "main", text, "Enter");
    type(`${command}; echo "code=$?"`);
    await screenShows(screen, /^\/ # *$/m);
    type("tty; stty size");
    await screenShows(screen, /\/dev\/pts\/0\n30 100/);
    tmux("resize-window", "-t", "main", "-x", "90", "-y", "20");
    await new Promise((resolve) => setTimeout(resolve, 1000));
    type("clear; stty size");
    await screenShows(screen, /20 90/);
    type("sleep 1000");
    await new Promise((resolve) => setTimeout(resolve, 500));
    tmux("send-keys", "-t", "main", "C-c");
    type("echo after=$?");
    await screenShows(screen, /after=130/);
    type("exit 6");
    await screenShows(screen, /code=6/);
    type("stty -a | head -n 3; echo restored");
    await screenShows(screen, /^restored$/m);
    assert.match(tmux("capture-pane", "-p", "-t", "main"), /speed/);
  });

  test("without -t, the interrupt key reaches the guest's command and nothing else", async () => {
    const script = `trap "echo caught" INT; echo ready; while :; do sleep 0.1; done`;
    const command = `SUPERMACHINE_HOME=${home.path} ${join(checkout, "bin", "supermachine")} run -q ${testImage("busybox").layout} sh -c '${script}'`;
    tmux("send-keys", "-t", "main", `clear; ${command}; echo "code=$?"`, "Enter");
    await screenShows(screen, /^ready$/m);
    tmux("send-keys", "-t", "main", "C-c");
    await screenShows(screen, /^\^?C?caught$/m);
    for (let presses = 0; presses < 2; presses++) {
      tmux("send-keys", "-t", "main", "C-c");
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    await screenShows(screen, /code=137$/m);
  });
});

async function screenShows(screen: () => string, pattern: RegExp): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!pattern.test(screen())) {
    if (Date.now() > deadline) assert.fail(`The screen never showed ${pattern}:\n${screen()}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
