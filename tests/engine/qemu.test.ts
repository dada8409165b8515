import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { AgentClient } from "../../src/agent/client.ts";
import { duplexTransport } from "../../src/agent/transports/duplex.ts";
import type { EngineMachine } from "../../src/engine/engine.ts";
import { qemuEngine } from "../../src/engine/qemu/engine.ts";
import { writeCpio } from "../../src/kernel/cpio.ts";
import { freshIdentity } from "../../src/machine/guest-identity.ts";
import { TestGuest } from "./guest.ts";

const engineModule = new URL("../../src/engine/qemu/engine.js", import.meta.url).href;

test("a machine boots, its agent runs a command in the root image, and it powers off", async () => {
  using guest = new TestGuest();
  await using machine = await qemuEngine.start(await guest.config({ cpus: 2, network: "user" }));
  const agent = await AgentClient.connect(duplexTransport(await machine.agent));
  await setUp(agent, machine);
  assert.match(await output(agent, ["/bin/busybox", "uname", "-sn"]), /^Linux box$/m);
  assert.match(await output(agent, ["/bin/busybox", "mount"]), /^overlay on \/ /m);
  assert.match(await output(agent, ["/bin/busybox", "ip", "address"]), /inet 10\.0\.2\.15\/24 .*eth0/);
  assert.equal(await output(agent, ["/bin/busybox", "nproc"]), "2\n");
  await agent.shutdown();
  assert.deepEqual(await machine.exited, { kind: "powered-off" });
  assert.ok((machine.timings?.spawnedMs ?? 0) > 0);
  // Ending what has ended changes nothing.
  await machine.kill();
  assert.deepEqual(await machine.exited, { kind: "powered-off" });
});

test("two machines share a root image, and neither can write to it", async () => {
  using guest = new TestGuest();
  const config = await guest.config();
  const before = readFileSync(config.rootfs);
  const answers = await Promise.all(
    ["00c0ffee0001", "00c0ffee0002"].map(async (id) => {
      await using machine = await qemuEngine.start({ ...config, id });
      const agent = await AgentClient.connect(duplexTransport(await machine.agent));
      await setUp(agent, machine);
      return await output(agent, [
        "/bin/busybox",
        "sh",
        "-c",
        "echo x | busybox dd of=/dev/vda 2>&1; echo done",
      ]);
    }),
  );
  for (const answer of answers) assert.match(answer, /^done$/m);
  assert.deepEqual(readFileSync(config.rootfs), before);
});

test("a kernel panic ends the machine at once, with the console's last lines", async () => {
  using guest = new TestGuest();
  const config = await guest.config();
  const initramfs = join(guest.folder, "empty.cpio");
  writeFileSync(initramfs, writeCpio([]));
  await using machine = await qemuEngine.start({ ...config, kernel: { ...config.kernel, initramfs } });
  const exit = await machine.exited;
  assert.equal(exit.kind, "panic");
  assert.match(exit.kind === "panic" ? exit.console.join("\n") : "", /Kernel panic - not syncing: .*root fs/);
});

test("kill() ends a booting machine and resolves when its process is gone", async () => {
  using guest = new TestGuest();
  const machine = await qemuEngine.start(await guest.config());
  assert.ok(isRunning(machine.pid));
  await machine.kill();
  assert.ok(!isRunning(machine.pid));
  assert.deepEqual(await machine.exited, { kind: "killed" });
  await machine.kill();
});

test("a machine ends when the process that started it is killed", async () => {
  using guest = new TestGuest();
  const config = join(guest.folder, "config.json");
  writeFileSync(config, JSON.stringify(await guest.config()));
  const script = `
    const { qemuEngine } = await import(${JSON.stringify(engineModule)});
    const { readFileSync } = await import("node:fs");
    const machine = await qemuEngine.start(JSON.parse(readFileSync(${JSON.stringify(config)}, "utf8")));
    process.stdout.write(String(machine.pid));`;
  const owner = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [pid] = await once(owner.stdout, "data");
  // Long enough for the shell before QEMU to have become QEMU.
  await sleep(200);
  assert.match(readFileSync(`/proc/${pid}/comm`, "utf8"), /^qemu-system/);
  owner.kill("SIGKILL");
  await once(owner, "exit");
  for (let tries = 0; isRunning(Number(pid)) && tries < 50; tries++) await sleep(20);
  assert.ok(!isRunning(Number(pid)));
});

test("a machine that QEMU cannot start fails with QEMU's own words", async () => {
  using guest = new TestGuest();
  const config = await guest.config({ rootfs: join(guest.folder, "missing.erofs") });
  await using machine = await qemuEngine.start(config);
  const exit = await machine.exited;
  assert.equal(exit.kind, "failed");
  assert.match(exit.kind === "failed" ? exit.detail : "", /exited with status 1; .*missing\.erofs/);
});

async function setUp(agent: AgentClient, machine: EngineMachine): Promise<void> {
  await agent.setup({
    ...machine.devices,
    identity: freshIdentity("box"),
    volumes: [],
  });
}

async function output(agent: AgentClient, argv: readonly string[]): Promise<string> {
  const execution = agent.exec({ argv, env: ["PATH=/bin"], stdin: false });
  const chunks: Uint8Array[] = [];
  for await (const chunk of execution.stdout) chunks.push(chunk);
  await execution.exit;
  return Buffer.concat(chunks).toString();
}

/** A zombie has ended. */
function isRunning(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}
