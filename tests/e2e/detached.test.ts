// The life of a detached machine, each step from another process.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { testImage } from "../fixtures/images.ts";
import { TestHome } from "./cli.ts";

describe("a detached machine", () => {
  let home: TestHome;
  let image: string;
  before(() => {
    home = new TestHome();
    image = testImage("busybox").layout;
  });
  after(() => home[Symbol.asyncDispose]());

  test("is reached by ps, exec, logs, cp and stop from other processes", async () => {
    const script =
      "echo started; echo problem >&2; trap 'echo stopping; exit 0' TERM; while :; do sleep 0.1; done";
    const started = await home.run(["run", "-d", "--name", "web", image, "sh", "-c", script]);
    assert.equal(started.code, 0, started.stderr);
    assert.match(started.stdout, /^[0-9a-f]{12}\n$/);

    const list = JSON.parse((await home.run(["ps", "--json"])).stdout);
    assert.equal(list.length, 1);
    assert.equal(list[0].name, "web");
    assert.equal(list[0].state, "running");

    const exec = await home.run([
      "exec",
      "-e",
      "X=1",
      "web",
      "sh",
      "-c",
      "echo $X > /tmp/x; cat /tmp/x; exit 4",
    ]);
    assert.deepEqual([exec.code, exec.stdout], [4, "1\n"], exec.stderr);

    const copied = await home.run(["cp", "web:/tmp/x", "-"]);
    assert.equal(copied.code, 0, copied.stderr);

    const logs = await home.run(["logs", "web"]);
    assert.equal(logs.stdout, "started\n");
    assert.match(logs.stderr, /problem/);

    const stopped = await home.run(["stop", "web"]);
    assert.equal(stopped.code, 0, stopped.stderr);
    assert.equal((await home.run(["ps", "-q"])).stdout, "");
    assert.match((await home.run(["logs", "web"])).stdout, /stopping/);
    const info = JSON.parse((await home.run(["inspect", "web"])).stdout);
    assert.equal((Array.isArray(info) ? info[0] : info).state, "stopped");

    assert.equal((await home.run(["rm", "web"])).code, 0);
    assert.equal((await home.run(["ps", "-a", "-q"])).stdout, "");
  });

  test("a name is taken once, and the second says so", async () => {
    assert.equal((await home.run(["run", "-d", "--name", "twice", image, "sleep", "600"])).code, 0);
    const second = await home.run(["run", "-d", "--name", "twice", image, "sleep", "600"]);
    assert.equal(second.code, 125);
    assert.match(second.stderr, /twice/);
    assert.equal((await home.run(["rm", "-f", "twice"])).code, 0);
  });

  test("one whose command ends stops by itself and keeps its exit code", async () => {
    assert.equal(
      (await home.run(["run", "-d", "--name", "short", image, "sh", "-c", "echo bye; exit 5"])).code,
      0,
    );
    const logs = await home.run(["logs", "-f", "short"]);
    assert.equal(logs.stdout, "bye\n");
    const list = JSON.parse((await home.run(["ps", "-a", "--json"])).stdout);
    const short = list.find((machine: { name: string }) => machine.name === "short");
    assert.equal(short.exit.exitCode, 5);
  });

  test("one whose monitor was killed is not listed as running, and leaves no process behind", async () => {
    assert.equal((await home.run(["run", "-d", "--name", "victim", image, "sleep", "600"])).code, 0);
    const [before] = JSON.parse((await home.run(["ps", "--json"])).stdout);
    process.kill(before.pid, "SIGKILL");
    await waitUntilGone(before.pid);
    if (before.enginePid !== undefined) await waitUntilGone(before.enginePid);
    assert.equal((await home.run(["ps", "-q"])).stdout, "");
    const list = JSON.parse((await home.run(["ps", "-a", "--json"])).stdout);
    const victim = list.find((machine: { name: string }) => machine.name === "victim");
    assert.equal(victim.state, "crashed");
    const exec = await home.run(["exec", "victim", "true"]);
    assert.equal(exec.code, 125);
    assert.match(exec.stderr, /victim/);
    assert.equal((await home.run(["rm", "victim"])).code, 0);
  });

  test("kill ends it at once", async () => {
    assert.equal((await home.run(["run", "-d", "--name", "k", image, "sleep", "600"])).code, 0);
    assert.equal((await home.run(["kill", "k"])).code, 0);
    const list = JSON.parse((await home.run(["ps", "-a", "--json"])).stdout);
    assert.equal(list.find((machine: { name: string }) => machine.name === "k").state, "stopped");
  });

  test("a stop that the command ignores is forced after the timeout", async () => {
    const deaf = [
      "run",
      "-d",
      "--name",
      "deaf",
      image,
      "sh",
      "-c",
      "trap '' TERM; while :; do sleep 1; done",
    ];
    assert.equal((await home.run(deaf)).code, 0);
    const stopped = await home.run(["stop", "-t", "1", "deaf"]);
    assert.equal(stopped.code, 0, stopped.stderr);
    assert.equal((await home.run(["ps", "-q"])).stdout, "");
  });

  test("follows its log while it is written", async () => {
    const script = "for i in 1 2 3; do echo line $i; sleep 0.3; done; sleep 600";
    assert.equal((await home.run(["run", "-d", "--name", "talk", image, "sh", "-c", script])).code, 0);
    const logs = home.start(["logs", "-f", "talk"]);
    let text = "";
    logs.stdout?.on("data", (bytes: Buffer) => {
      text += bytes.toString();
      if (text.includes("line 3\n")) logs.kill("SIGINT");
    });
    await once(logs, "close");
    assert.equal(text, "line 1\nline 2\nline 3\n");
    await home.run(["rm", "-f", "talk"]);
  });
});

async function waitUntilGone(pid: number): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`process ${pid} is still there`);
}
