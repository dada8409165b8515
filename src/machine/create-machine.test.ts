import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { createMachine } from "./create-machine.ts";
import { Machine } from "./machine.ts";
import { fakeParts } from "./testing/fake-parts.ts";
import { TemporaryHome } from "./testing/temporary-home.ts";
import type { MachineOptions } from "./types.ts";

const code = (wanted: string) => (error: unknown) => {
  assert.ok(error instanceof SupermachineError, String(error));
  assert.equal(error.code, wanted, error.message);
  return true;
};

async function collect<Item>(source: AsyncIterable<Item>): Promise<Item[]> {
  const items: Item[] = [];
  for await (const item of source) items.push(item);
  return items;
}

async function start(options: MachineOptions, parts = fakeParts()): Promise<Machine> {
  return new Machine(await createMachine("busybox", options, parts));
}

test("a machine idles, runs commands with the image's environment, and leaves nothing when disposed", async () => {
  using home = new TemporaryHome();
  const parts = fakeParts();
  {
    await using machine = await start({ home: home.root, name: "one", env: { EXTRA: "2" } }, parts);
    assert.equal((await machine.exec(["env"])).stdout, "PATH=/bin\nFROM_IMAGE=1\nEXTRA=2\n");
    assert.equal((await machine.exec(["pwd"])).stdout, "/work worker\n");
    assert.equal((await machine.run()).stdout, "from the image\n");
    assert.equal((await machine.info()).state, "running");
    assert.deepEqual(machine.timings.map(({ phase }) => phase).slice(3), [
      "engine",
      "agent",
      "setup",
      "first exec",
    ]);
    const [setup] = parts.engine.guests[0]!.agentDouble.setups;
    assert.deepEqual(
      [setup?.identity.hostname, setup?.volumes, setup?.identity.entropy.length],
      [machine.id, ["/data"], 64],
    );
  }
  assert.deepEqual(readdirSync(join(home.root, "machines")), [".names"]);
  assert.deepEqual(readdirSync(join(home.root, "machines", ".names")), []);
});

test("a main command's output is logged, and the machine stops with it and keeps its exit status", async () => {
  using home = new TemporaryHome();
  const machine = await start({ home: home.root, command: ["fail", "7"] });
  const exit = await machine.wait();
  assert.deepEqual([exit.reason, exit.exitCode], ["command", 7]);
  const entries = await collect(machine.logs());
  assert.equal(
    entries.map(({ stream, bytes }) => `${stream} ${Buffer.from(bytes)}`).join(),
    "stderr one\nbroken\n",
  );
  assert.equal((await machine.info()).state, "stopped");
  await assert.rejects(async () => await machine.exec(["true"]), code("MACHINE_NOT_RUNNING"));
  const [listed] = await Machine.list({ home: home.root, all: true });
  assert.equal(listed?.exit?.exitCode, 7);
  assert.deepEqual(await Machine.list({ home: home.root }), []);
  await machine.remove();
  assert.deepEqual(await Machine.list({ home: home.root, all: true }), []);
});

test("following a log ends with the machine", async () => {
  using home = new TemporaryHome();
  await using machine = await start({ home: home.root, command: ["polite"] });
  const text = (async () => {
    let all = "";
    for await (const { bytes } of machine.logs({ follow: true })) all += Buffer.from(bytes).toString();
    return all;
  })();
  await machine.stop();
  assert.equal(await text, "bye\n");
});

test("stop() sends the image's stop signal, then asks the agent; the reason is 'stopped'", async () => {
  using home = new TemporaryHome();
  await using machine = await start(
    { home: home.root, command: ["sleep"] },
    fakeParts({ image: { stopSignal: "SIGQUIT" } }),
  );
  const exit = await machine.stop();
  assert.deepEqual([exit.reason, exit.signal], ["stopped", "SIGQUIT"]);
  assert.deepEqual(await machine.stop(), exit);
});

test("stop() kills a guest that does not go in time", async () => {
  using home = new TemporaryHome();
  await using machine = await start(
    { home: home.root, command: ["deaf"] },
    fakeParts({ ignoresShutdown: true }),
  );
  assert.equal((await machine.stop({ timeoutMs: 30 })).reason, "killed");
});

test("kill() during stop() ends the machine at once", async () => {
  using home = new TemporaryHome();
  await using machine = await start({ home: home.root, command: ["deaf"] });
  const stopping = machine.stop({ timeoutMs: 60_000 });
  assert.equal((await machine.kill()).reason, "killed");
  assert.equal((await stopping).reason, "killed");
});

test("a panic ends pending commands with GUEST_PANIC and the console's lines", async () => {
  using home = new TemporaryHome();
  const parts = fakeParts();
  await using machine = await start({ home: home.root }, parts);
  const pending = machine.exec(["sleep"]);
  await pending.pid;
  parts.engine.guests[0]!.panic();
  await assert.rejects(
    async () => await pending,
    (error: unknown) => {
      assert.ok(code("GUEST_PANIC")(error));
      return ((error as SupermachineError).data["console"] as string[]).length === 2;
    },
  );
  assert.equal((await machine.wait()).reason, "panic");
});

test("a machine that is gone ends pending commands with MACHINE_EXITED", async () => {
  using home = new TemporaryHome();
  const parts = fakeParts();
  await using machine = await start({ home: home.root }, parts);
  const pending = machine.exec(["sleep"]);
  await pending.pid;
  parts.engine.guests[0]!.end({ kind: "failed", detail: "out of luck", console: [] });
  await assert.rejects(async () => await pending, code("MACHINE_EXITED"));
  const exit = await machine.wait();
  assert.deepEqual([exit.reason, exit.detail], ["failed", "out of luck"]);
});

test("a boot that fails rejects with its reason and leaves no record", async () => {
  using home = new TemporaryHome();
  const names = () => readdirSync(join(home.root, "machines")).filter((name) => name !== ".names");
  const silent = fakeParts({ silent: true });
  await assert.rejects(start({ home: home.root, bootTimeoutMs: 20 }, silent), code("BOOT_TIMEOUT"));
  await assert.rejects(start({ home: home.root }, fakeParts({ panicAtBoot: true })), code("GUEST_PANIC"));
  await assert.rejects(start({ home: home.root }, fakeParts({ diesAtBoot: true })), {
    code: "BOOT_FAILED",
    message: "The machine ended while it started: no such luck",
  });
  await assert.rejects(start({ home: home.root, command: ["nope"] }), code("COMMAND_NOT_FOUND"));
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 20);
  await assert.rejects(
    start({ home: home.root, signal: abort.signal }, fakeParts({ silent: true })),
    code("ABORTED"),
  );
  assert.deepEqual(names(), []);
});

test("a name is taken once, and free again after the removal", async () => {
  using home = new TemporaryHome();
  const first = await start({ home: home.root, name: "same" });
  await assert.rejects(start({ home: home.root, name: "same" }), code("NAME_IN_USE"));
  await first.remove({ force: true });
  await using second = await start({ home: home.root, name: "same" });
  assert.equal(second.name, "same");
});

test("two creations at once with one name: exactly one wins", async () => {
  using home = new TemporaryHome();
  const results = await Promise.allSettled([
    start({ home: home.root, name: "same" }),
    start({ home: home.root, name: "same" }),
  ]);
  assert.deepEqual(results.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  for (const result of results) if (result.status === "fulfilled") await result.value[Symbol.asyncDispose]();
});

test("a removal is refused while the machine runs", async () => {
  using home = new TemporaryHome();
  await using machine = await start({ home: home.root });
  await assert.rejects(machine.remove(), code("MACHINE_RUNNING"));
});

test("no usable engine is reported with every reason, before anything is pulled", async () => {
  using home = new TemporaryHome();
  const parts = fakeParts({ support: { usable: false, reason: "no luck", remedy: "Buy some" } });
  parts.pullImage = () => assert.fail("The image was pulled");
  await assert.rejects(start({ home: home.root }, parts), (error: unknown) => {
    assert.ok(code("ENGINE_UNAVAILABLE")(error));
    const { message, hint } = error as SupermachineError;
    assert.match(message, /no luck/);
    assert.match(hint ?? "", /Buy some/);
    return true;
  });
});

test("software emulation warns", async () => {
  using home = new TemporaryHome();
  const warnings: string[] = [];
  const onWarning = (text: string) => warnings.push(text);
  await using _machine = await start(
    { home: home.root, onWarning },
    fakeParts({ support: { isolating: false } }),
  );
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? "", /no security boundary/);
});

test("published ports carry connections both ways, with half-close; a taken one is PORT_IN_USE", async () => {
  using home = new TemporaryHome();
  await using machine = await start({ home: home.root, ports: ["0:80"] });
  const [port] = (await machine.info()).ports;
  assert.ok(port !== undefined && port.port > 0);
  const client = connect({ port: port.port, host: "127.0.0.1", allowHalfOpen: true });
  client.end("hello");
  assert.equal(Buffer.concat(await collect(client)).toString(), "hello");
  await assert.rejects(start({ home: home.root, ports: [`${port.port}:80`] }), code("PORT_IN_USE"));
  await machine.stop();
  const reuse = createServer().listen(port.port, "127.0.0.1");
  await new Promise((resolve) => reuse.once("listening", resolve));
  reuse.close();
});

test("a machine of another process is found by name and by the start of its id, and can be stopped", async () => {
  using home = new TemporaryHome();
  await using machine = await start({ home: home.root, name: "web" });
  await using byName = await Machine.connect("web", { home: home.root });
  await using byPrefix = await Machine.connect(machine.id.slice(0, 6), { home: home.root });
  assert.deepEqual([byName.id, byPrefix.id], [machine.id, machine.id]);
  await assert.rejects(Machine.connect("nobody", { home: home.root }), code("MACHINE_NOT_FOUND"));
  const waiting = byPrefix.wait();
  assert.equal((await byName.stop()).reason, "stopped");
  assert.equal((await waiting).reason, "stopped");
  assert.equal((await machine.wait()).reason, "stopped");
});

test("the `remove` option deletes a machine as soon as it has ended, and others still learn how", async () => {
  using home = new TemporaryHome();
  const machine = await start({ home: home.root, remove: true });
  await using other = await Machine.connect(machine.id, { home: home.root });
  const waiting = other.wait();
  await machine.stop();
  assert.equal((await waiting).reason, "stopped");
  assert.equal(existsSync(join(home.root, "machines", machine.id)), false);
});
