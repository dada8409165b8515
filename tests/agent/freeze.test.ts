import assert from "node:assert/strict";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { freshIdentity } from "../../src/machine/guest-identity.ts";
import { finish, listenAgent, request, type ServedAgent, serveAgent, whyNot } from "./serve-agent.ts";
import { TestCgroup } from "./test-cgroup.ts";

const skip = whyNot() ?? TestCgroup.whyNot() ?? false;
const timeoutMs = 5000;
const counter = "while :; do echo; done >> /tmp/count";

/** Whether the counter moves within a moment. */
async function counts({ root }: Pick<ServedAgent, "root">): Promise<boolean> {
  const length = () => statSync(join(root, "tmp/count")).size;
  const before = length();
  await sleep(100);
  return length() !== before;
}

test("freeze() stops commands and what they left behind, thaw() lets them go on", { skip }, async () => {
  await using cgroup = new TestCgroup();
  await using served = await serveAgent({ cgroup: cgroup.path });
  const { agent } = served;
  await finish(agent.exec(request(["sh", "-c", `(${counter}) & sleep 0.1`])));
  assert.ok(await counts(served));
  await agent.freeze({ timeoutMs });
  assert.ok(!(await counts(served)));
  // Once more is fine, and the agent goes on answering.
  await agent.freeze({ timeoutMs });
  assert.equal((await agent.stat("/tmp/count")).type, "file");
  await agent.thaw();
  assert.ok(await counts(served));
  await agent.thaw();
});

test("processes that are stopped or wait for a child can be frozen", { skip }, async () => {
  await using cgroup = new TestCgroup();
  await using served = await serveAgent({ cgroup: cgroup.path });
  const { agent } = served;
  const exec = agent.exec(request(["sh", "-c", "sleep 600 & kill -STOP $!; sleep 600 | sleep 600"]));
  await exec.started;
  await sleep(100);
  await agent.freeze({ timeoutMs });
  await agent.thaw();
  exec.cancel();
  await assert.rejects(exec.exit);
});

test("a command started in a frozen guest runs once it thaws", { skip }, async () => {
  await using cgroup = new TestCgroup();
  await using served = await serveAgent({ cgroup: cgroup.path });
  const { agent } = served;
  await agent.freeze({ timeoutMs });
  let started = false;
  const exec = agent.exec(request(["echo", "born frozen"]));
  void exec.started.then(() => {
    started = true;
  });
  await sleep(150);
  assert.equal(started, false);
  await agent.thaw();
  assert.equal((await finish(exec)).stdout, "born frozen\n");
});

test("groups that a command made are frozen, killed and removed with it", { skip }, async () => {
  await using cgroup = new TestCgroup();
  await using served = await serveAgent({ cgroup: cgroup.path });
  const { agent } = served;
  const exec = agent.exec(request(["sh", "-c", counter]));
  const pid = await exec.started;
  const [group] = cgroup.groups();
  const inner = join(cgroup.path, "exec", String(group), "a", "b");
  mkdirSync(inner, { recursive: true });
  writeFileSync(join(inner, "cgroup.procs"), String(pid));
  await sleep(50);
  assert.ok(await counts(served));
  await agent.freeze({ timeoutMs });
  assert.ok(!(await counts(served)));
  exec.cancel();
  await assert.rejects(exec.exit);
  for (let tries = 0; cgroup.groups().length > 0 && tries < 100; tries++) await sleep(20);
  assert.deepEqual(cgroup.groups(), []);
});

test("a name that somebody took in the directory of groups is passed over", { skip }, async () => {
  await using cgroup = new TestCgroup();
  await using served = await serveAgent({ cgroup: cgroup.path });
  for (let i = 1; i < 5; i++) mkdirSync(join(cgroup.path, "exec", `exec.${i}`));
  assert.equal((await finish(served.agent.exec(request(["echo", "ok"])))).stdout, "ok\n");
});

test("a freeze that does not succeed in time fails, and nothing stays frozen", { skip }, async () => {
  await using cgroup = new TestCgroup();
  await using served = await serveAgent({ cgroup: cgroup.path });
  const { agent } = served;
  const busy = Array.from({ length: 20 }, () => agent.exec(request(["sh", "-c", counter])));
  await Promise.all(busy.map((exec) => exec.started));
  // They may all stop at once even so: then the answer is that they have.
  const outcome = await agent.freeze({ timeoutMs: 0 }).then(
    () => "frozen",
    (error: { data: unknown }) => error.data,
  );
  if (outcome === "frozen") await agent.thaw();
  else assert.deepEqual(outcome, { errno: "ETIMEDOUT", detail: "processes that do not stop" });
  assert.ok(await counts(served));
  for (const exec of busy) exec.cancel();
});

test("being frozen outlives the connection; its commands do not", { skip }, async () => {
  await using cgroup = new TestCgroup();
  await using listening = await listenAgent({ cgroup: cgroup.path });
  const first = await listening.connect();
  const exec = first.agent.exec(request(["sleep", "600"]));
  await finish(first.agent.exec(request(["sh", "-c", "sleep 600 &"])));
  await exec.started;
  await first.agent.freeze({ timeoutMs });
  first.socket.destroy();
  await assert.rejects(exec.exit);
  const { agent } = await listening.connect();
  for (let tries = 0; cgroup.groups().length > 1 && tries < 100; tries++) await sleep(20);
  assert.equal(cgroup.groups().length, 1);
  const events = () => readFileSync(join(cgroup.path, "exec", "cgroup.events"), "utf8");
  assert.match(events(), /frozen 1/);
  await agent.thaw();
  assert.match(events(), /frozen 0/);
});

test("freeze() without control groups is not supported, thaw() has nothing to do", {
  skip: whyNot() ?? false,
}, async () => {
  await using served = await serveAgent();
  await assert.rejects(served.agent.freeze({ timeoutMs }), {
    code: "NATIVE_CALL_FAILED",
    data: { errno: "EOPNOTSUPP", detail: "control groups" },
  });
  await served.agent.thaw();
  // A machine that is not a guest is not given another clock and name.
  await assert.rejects(served.agent.renew(freshIdentity("box")), { code: "UNSUPPORTED" });
});
