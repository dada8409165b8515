import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { identifyProcess } from "../storage/process-identity.ts";
import { createMachine } from "./create-machine.ts";
import { Machine } from "./machine.ts";
import { fakeParts } from "./testing/fake-parts.ts";
import { TemporaryHome } from "./testing/temporary-home.ts";
import type { MachineOptions } from "./types.ts";

afterEach(() => {
  delete process.env["FAKE_MONITOR"];
});

async function detach(home: TemporaryHome, options: MachineOptions = {}): Promise<Machine> {
  return new Machine(
    await createMachine("busybox", { home: home.root, detached: true, ...options }, fakeParts()),
  );
}

const code = (wanted: string) => (error: unknown) =>
  error instanceof SupermachineError && error.code === wanted ? true : assert.fail(String(error));

test("a detached machine lives in another process, in its own session, and is stopped through its socket", async () => {
  using home = new TemporaryHome();
  await using machine = await detach(home, { name: "apart", command: ["polite"] });
  const { pid, state, detached } = await machine.info();
  assert.deepEqual([state, detached], ["running", true]);
  assert.notEqual(pid, process.pid);
  // proc(5): fields 5 and 6 are the process group and the session, both led by the monitor itself.
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.split(" ");
  assert.deepEqual([fields?.[2], fields?.[3]], [String(pid), String(pid)]);
  assert.equal((await machine.stop()).reason, "stopped");
  await gone(pid);
  let log = "";
  for await (const { bytes } of machine.logs()) log += Buffer.from(bytes).toString();
  assert.equal(log, "bye\n");
  await machine.remove();
  assert.deepEqual(await Machine.list({ home: home.root, all: true }), []);
});

test("a detached machine's main command is signalled from other processes; an idle one says that it has none", async () => {
  using home = new TemporaryHome();
  await using machine = await detach(home, { name: "hears", command: ["polite"] });
  await machine.signal("TERM");
  assert.equal((await machine.wait()).reason, "command");
  await assert.rejects(machine.signal("TERM"), code("MACHINE_NOT_RUNNING"));
  await using idle = await detach(home, { name: "idle" });
  await assert.rejects(idle.signal(1), code("INVALID_ARGUMENT"));
  await assert.rejects(idle.signal("NOPE"), code("INVALID_ARGUMENT"));
  await idle.remove({ force: true });
});

test("letting go of a detached machine leaves it running", async () => {
  using home = new TemporaryHome();
  {
    await using _machine = await detach(home, { name: "stays" });
  }
  await using again = await Machine.connect("stays", { home: home.root });
  assert.equal((await again.info()).state, "running");
  await again.remove({ force: true });
});

test("a boot that fails in the monitor's process rejects with that process's own error", async () => {
  using home = new TemporaryHome();
  process.env["FAKE_MONITOR"] = "panics";
  await assert.rejects(detach(home), code("GUEST_PANIC"));
  delete process.env["FAKE_MONITOR"];
  await assert.rejects(detach(home, { command: ["nope"] }), code("COMMAND_NOT_FOUND"));
  assert.deepEqual(await Machine.list({ home: home.root, all: true }), []);
});

test("a monitor that dies while it starts is BOOT_FAILED", async () => {
  using home = new TemporaryHome();
  process.env["FAKE_MONITOR"] = "dies";
  await assert.rejects(detach(home), code("BOOT_FAILED"));
});

test("an aborted creation ends the monitor's process and leaves no record", async () => {
  using home = new TemporaryHome();
  process.env["FAKE_MONITOR"] = "hangs";
  const abort = new AbortController();
  const creating = detach(home, { signal: abort.signal });
  creating.catch(() => {});
  const [record] = await eventually(() => {
    const ids = existsSync(join(home.root, "machines"))
      ? readdirSync(join(home.root, "machines")).filter((name) => /^[0-9a-f]{12}$/.test(name))
      : [];
    const records = ids.map((id) =>
      JSON.parse(readFileSync(join(home.root, "machines", id, "machine.json"), "utf8")),
    );
    return records.some(({ owner }) => owner.pid !== process.pid) ? records : undefined;
  });
  abort.abort();
  await assert.rejects(creating, code("ABORTED"));
  await gone(record.owner.pid);
  assert.deepEqual(await Machine.list({ home: home.root, all: true }), []);
});

test("a detached machine whose monitor was killed is listed as crashed, and can be removed", async () => {
  using home = new TemporaryHome();
  await using machine = await detach(home, { name: "victim" });
  const { pid } = await machine.info();
  const waiting = machine.wait();
  process.kill(pid, "SIGKILL");
  assert.equal((await waiting).reason, "crashed");
  assert.deepEqual(await Machine.list({ home: home.root }), []);
  const [listed] = await Machine.list({ home: home.root, all: true });
  assert.deepEqual([listed?.state, listed?.exit?.reason], ["crashed", "crashed"]);
  assert.equal(existsSync(join(home.root, "machines", machine.id, "run")), false);
  await machine.remove();
  assert.deepEqual(await Machine.list({ home: home.root, all: true }), []);
});

test("what a program leaves that ended without a word is swept away, its name included", async () => {
  using home = new TemporaryHome();
  await using machine = await detach(home, { name: "left" });
  const path = join(home.root, "machines", machine.id, "machine.json");
  const record = JSON.parse(readFileSync(path, "utf8"));
  await machine.kill();
  const sleeper = spawn("sleep", ["60"]);
  await once(sleeper, "spawn");
  const owner = identifyProcess(sleeper.pid);
  mkdirSync(record.runDirectory, { recursive: true });
  writeFileSync(path, JSON.stringify({ ...record, owner, config: { ...record.config, detached: false } }));
  assert.equal((await Machine.list({ home: home.root })).length, 1);
  sleeper.kill("SIGKILL");
  await once(sleeper, "exit");
  assert.deepEqual(await Machine.list({ home: home.root, all: true }), []);
  assert.deepEqual(readdirSync(join(home.root, "machines", ".names")), []);
});

test("a process that got a dead monitor's number is not mistaken for it", async () => {
  using home = new TemporaryHome();
  await using machine = await detach(home, { name: "old" });
  const path = join(home.root, "machines", machine.id, "machine.json");
  const record = JSON.parse(readFileSync(path, "utf8"));
  await machine.kill();
  const own = identifyProcess();
  writeFileSync(path, JSON.stringify({ ...record, owner: { ...own, started: `${own.started}0` } }));
  const [listed] = await Machine.list({ home: home.root, all: true });
  assert.equal(listed?.state, "crashed");
});

test("a home with a path too long for sockets works", async () => {
  using home = new TemporaryHome();
  const deep = join(home.root, "x".repeat(120));
  mkdirSync(deep);
  await using machine = await detach(home, { home: deep });
  const connected = await Machine.connect(machine.id, { home: deep });
  const record = JSON.parse(readFileSync(join(deep, "machines", machine.id, "machine.json"), "utf8"));
  assert.equal((await connected.stop()).reason, "stopped");
  assert.equal(existsSync(record.runDirectory), false);
});

async function eventually<Value>(look: () => Value | undefined): Promise<Value> {
  for (let tries = 0; tries < 200; tries++) {
    const value = look();
    if (value !== undefined) return value;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  return assert.fail("It never happened");
}

async function gone(pid: number): Promise<void> {
  await eventually(() => {
    try {
      process.kill(pid, 0);
      return undefined;
    } catch {
      return true;
    }
  });
}
