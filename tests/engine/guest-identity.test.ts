import assert from "node:assert/strict";
import { type Duplex, PassThrough } from "node:stream";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { AgentClient } from "../../src/agent/client.ts";
import type { AgentExec } from "../../src/agent/requests.ts";
import { qemuEngine } from "../../src/engine/qemu/engine.ts";
import { freshIdentity } from "../../src/machine/guest-identity.ts";
import { TestGuest } from "./guest.ts";

test("a guest is given an identity, is frozen, and goes on with another one", async () => {
  using guest = new TestGuest();
  await using machine = await qemuEngine.start(await guest.config());
  const sessions = new Sessions(await machine.agent);
  let agent = await AgentClient.connect(sessions.next());
  const first = freshIdentity("first");
  await agent.setup({ ...machine.devices, identity: first, volumes: [] });
  assert.deepEqual(await shown(agent), [first.machineId, first.bootId, "first", "first"]);
  assert.equal(await output(agent, "stat -c %a /etc/machine-id"), "444\n");

  await output(agent, "echo 192.0.2.1 elsewhere >> /etc/hosts");
  const main = agent.exec(
    command("while :; do read id < /proc/sys/kernel/random/boot_id; echo $id; usleep 10000; done", true),
  );
  const pid = await main.started;
  await firstLine(main);
  await output(
    agent,
    "echo > /tmp/ticks; (while :; do echo; usleep 10000; done) >> /tmp/ticks 2>&1 & usleep 100000",
  );
  await agent.freeze({ timeoutMs: 10_000 });
  const ticks = async () => (await agent.stat("/tmp/ticks")).size;
  const before = await ticks();
  await sleep(300);
  assert.equal(await ticks(), before);

  // As after a restore: another connection, to what the frozen guest was.
  agent = await AgentClient.connect(sessions.next());
  const adopted = agent.adopt(pid);
  assert.equal(await adopted.started, pid);
  const clockNs = 2_000_000_000_000_000_000n;
  const second = { ...freshIdentity("second"), clockNs };
  await agent.renew(second);
  assert.deepEqual(await shown(agent), [second.machineId, second.bootId, "second", "second"]);
  assert.match(await output(agent, "date +%s"), /^20000000\d\d$/m);
  assert.equal(
    await output(agent, "cat /etc/hosts"),
    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\tsecond\n192.0.2.1 elsewhere\n",
  );
  assert.equal(await output(agent, "grep -c boot_id /proc/self/mountinfo"), "1\n");
  await untilLine(adopted, second.bootId);
  await sleep(100);
  assert.ok((await ticks()) > before);
  adopted.cancel();
  await adopted.exit.catch(() => {});

  await agent.freeze({ timeoutMs: 10_000 });
  await agent.shutdown();
  assert.deepEqual(await machine.exited, { kind: "powered-off" });
});

test("a guest's root sees its control groups as if they were all, and cannot leave them", async () => {
  using guest = new TestGuest();
  await using machine = await qemuEngine.start(await guest.config());
  const agent = await AgentClient.connect(new Sessions(await machine.agent).next());
  await agent.setup({ ...machine.devices, identity: freshIdentity("box"), volumes: [] });
  const script = [
    "mkdir /sys/fs/cgroup/mine",
    "echo $$ > /sys/fs/cgroup/mine/cgroup.procs",
    "cat /proc/self/cgroup",
    "mkdir /tmp/all && mount -t cgroup2 none /tmp/all",
    "echo 0 > /sys/fs/cgroup/cgroup.freeze || echo no",
    "echo 1 > /sys/fs/cgroup/mine/cgroup.procs || echo no",
    "ls -d /tmp/all/*/",
    "while :; do date >> /tmp/ticks; usleep 10000; done",
  ];
  const exec = agent.exec(command(script.join("; ")));
  const lines = await untilLine(exec, "/tmp/all/mine/");
  assert.match(lines, /^0::\/mine\nno\nno\n\/tmp\/all\/exec\.1\/\n/);
  await sleep(200);
  await agent.freeze({ timeoutMs: 10_000 });
  const before = (await agent.stat("/tmp/ticks")).size;
  await sleep(300);
  assert.equal((await agent.stat("/tmp/ticks")).size, before);
  await agent.thaw();
});

/** One host after the other on the agent's console port: each takes over from the one before without a word. */
class Sessions {
  readonly #stream: Duplex;
  #current = new PassThrough();

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on("data", (bytes) => this.#current.write(bytes));
    stream.on("error", () => {});
  }

  next(): Parameters<typeof AgentClient.connect>[0] {
    this.#current = new PassThrough();
    return {
      incoming: this.#current,
      send: async (bytes) => {
        this.#stream.write(bytes);
      },
      close: () => {},
    };
  }
}

function command(script: string, parked = false) {
  const argv = ["/bin/busybox", "sh", "-c", script];
  return { argv, env: ["PATH=/bin"], stdin: false, parked };
}

async function output(agent: AgentClient, script: string): Promise<string> {
  const exec = agent.exec(command(script));
  const chunks: Uint8Array[] = [];
  for await (const chunk of exec.stdout) chunks.push(chunk);
  await exec.exit;
  return Buffer.concat(chunks).toString();
}

/** Machine id, boot id and twice the host name, as programs see them. */
async function shown(agent: AgentClient): Promise<string[]> {
  const text = await output(
    agent,
    "cat /etc/machine-id /proc/sys/kernel/random/boot_id /etc/hostname; hostname",
  );
  return text.trim().split("\n");
}

async function firstLine(exec: AgentExec): Promise<void> {
  for await (const _ of exec.stdout) break;
}

/** Everything up to a line. */
async function untilLine(exec: AgentExec, line: string): Promise<string> {
  let text = "";
  for await (const bytes of exec.stdout) {
    text += Buffer.from(bytes).toString();
    if (text.includes(`${line}\n`)) return text;
  }
  return assert.fail(`${line} was not in ${text}`);
}
