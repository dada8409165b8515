// The control group of a command: used again when nobody has altered it, and taken away otherwise.
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { finish, request, type ServedAgent, serveAgent, whyNot } from "./serve-agent.ts";
import { TestCgroup } from "./test-cgroup.ts";

const skip = whyNot() ?? TestCgroup.whyNot() ?? false;

/** The group that a command lived in, once the agent is done with it. */
async function groupOf({ agent }: ServedAgent, script = ":"): Promise<string> {
  const exec = agent.exec(request(["sh", "-c", `${script}; cat`], { stdin: true }));
  const text = readFileSync(`/proc/${await exec.started}/cgroup`, "utf8");
  await exec.closeStdin();
  await finish(exec);
  // What the agent does after its answer is done before the next one.
  await agent.stat("/");
  return /^0::.*\/(.*)$/m.exec(text)?.[1] ?? "";
}

describe("the group of a command", { skip }, () => {
  test("is used again by the next one", async () => {
    await using cgroup = new TestCgroup();
    await using served = await serveAgent({ cgroup: cgroup.path });
    const first = await groupOf(served);
    assert.match(first, /^exec\.\d+$/);
    assert.equal(await groupOf(served), first);
    assert.deepEqual(cgroup.groups(), [first]);
  });

  test("is another one while the first still runs", async () => {
    await using cgroup = new TestCgroup();
    await using served = await serveAgent({ cgroup: cgroup.path });
    const running = served.agent.exec(request(["sleep", "600"]));
    await running.started;
    const [first] = cgroup.groups();
    assert.notEqual(await groupOf(served), first);
    running.cancel();
    await assert.rejects(running.exit);
  });

  for (const [what, alter] of [
    ["a file in it was written", (group: string) => writeFileSync(join(group, "cgroup.max.depth"), "3")],
    ["a group was made in it", (group: string) => mkdirSync(join(group, "inner"))],
    ["a file in it has another mode", (group: string) => chmodSync(join(group, "cgroup.procs"), 0o666)],
  ] as const)
    test(`is taken away where ${what}`, async () => {
      await using cgroup = new TestCgroup();
      await using served = await serveAgent({ cgroup: cgroup.path });
      const first = await groupOf(served);
      alter(join(cgroup.path, "exec", first));
      assert.notEqual(await groupOf(served), first);
      assert.ok(!cgroup.groups().includes(first));
    });

  test("is not used again while a process is left in it, and is when that has ended", async () => {
    await using cgroup = new TestCgroup();
    await using served = await serveAgent({ cgroup: cgroup.path });
    const first = await groupOf(served, "sleep 0.5 >/dev/null 2>&1 & :");
    assert.notEqual(await groupOf(served), first);
    for (let tries = 0; tries < 100; tries++) {
      const running = served.agent.exec(request(["sleep", "600"]));
      await running.started;
      const next = await groupOf(served);
      running.cancel();
      await assert.rejects(running.exit);
      if (next === first) return;
      await sleep(50);
    }
    assert.fail(`${first} was not used again: ${cgroup.groups()}`);
  });

  test("is taken away with a command that was killed", async () => {
    await using cgroup = new TestCgroup();
    await using served = await serveAgent({ cgroup: cgroup.path });
    const running = served.agent.exec(request(["sh", "-c", "sleep 600 & sleep 600"]));
    await running.started;
    running.cancel();
    await assert.rejects(running.exit);
    // Here what a command leaves behind is no child of the agent's, which looks again when one of its own has ended.
    for (let tries = 0; cgroup.groups().length > 0 && tries < 100; tries++) {
      await served.agent.stat("/");
      await sleep(20);
    }
    assert.deepEqual(cgroup.groups(), []);
  });

  test("does not become many: a hundred commands leave a few", async () => {
    await using cgroup = new TestCgroup();
    await using served = await serveAgent({ cgroup: cgroup.path });
    const all = Array.from({ length: 100 }, () => finish(served.agent.exec(request(["true"]))));
    await Promise.all(all);
    await served.agent.stat("/");
    assert.ok(cgroup.groups().length <= 8, String(cgroup.groups()));
  });
});
