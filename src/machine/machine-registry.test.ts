import assert from "node:assert/strict";
import { mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Home } from "../storage/home.ts";
import { identifyProcess } from "../storage/process-identity.ts";
import type { MachineRecord } from "./machine-record.ts";
import { MachineRegistry } from "./machine-registry.ts";
import { resolveMachine } from "./machine-spec.ts";
import { TemporaryHome } from "./testing/temporary-home.ts";

function recordMaker(name: string): (place: { id: string; runDirectory: string }) => MachineRecord {
  const owner = identifyProcess();
  return ({ id, runDirectory }) => ({
    version: 2,
    info: {
      id,
      name,
      state: "running",
      image: "busybox",
      imageDigest: "sha256:0",
      engine: "qemu",
      accelerator: undefined,
      kernel: "6.1",
      cpus: 1,
      memoryMiB: 64,
      network: "none",
      ports: [],
      labels: {},
      detached: false,
      createdAt: Date.now(),
      pid: process.pid,
      timings: [],
    },
    config: resolveMachine("busybox", {}, { cpus: 1 }),
    defaults: { env: [], workingDir: "/", user: "", entrypoint: [], cmd: [], stopSignal: "SIGTERM" },
    owner,
    runDirectory,
  });
}

test("a record is found by name, id and prefix; an ambiguous prefix is refused", async () => {
  using home = new TemporaryHome();
  const registry = new MachineRegistry(new Home(home.root));
  const records: MachineRecord[] = [];
  // With 17 ids, two start with the same digit.
  for (let i = 0; i < 17; i++) records.push(await registry.add(`m${i}`, recordMaker(`m${i}`)));
  for (const { info } of records) {
    assert.equal((await registry.find(info.name)).info.id, info.id);
    assert.equal((await registry.find(info.id)).info.id, info.id);
  }
  const digits = records.map(({ info }) => info.id[0] ?? "");
  const shared = digits.find((digit, index) => digits.indexOf(digit) !== index) ?? assert.fail();
  await assert.rejects(registry.find(shared), { code: "INVALID_ARGUMENT" });
  for (const nobody of ["", "..", "no/such", "zzz", "\0"])
    await assert.rejects(registry.find(nobody), { code: "MACHINE_NOT_FOUND" }, nobody);
});

test("a name whose machine's folder was deleted by hand is free", async () => {
  using home = new TemporaryHome();
  const registry = new MachineRegistry(new Home(home.root));
  const first = await registry.add("x", recordMaker("x"));
  await assert.rejects(registry.add("x", recordMaker("x")), { code: "NAME_IN_USE" });
  assert.equal((await registry.list()).length, 1);
  rmSync(registry.folder(first.info.id), { recursive: true });
  assert.equal((await registry.add("x", recordMaker("x"))).info.name, "x");
});

test("what is no record is not listed; a folder without any is swept away once it is old", async () => {
  using home = new TemporaryHome();
  const registry = new MachineRegistry(new Home(home.root));
  const machines = join(home.root, "machines");
  const ids = ["aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc", "dddddddddddd"];
  for (const id of ids) mkdirSync(join(machines, id), { recursive: true });
  writeFileSync(join(machines, "aaaaaaaaaaaa", "machine.json"), "{");
  writeFileSync(join(machines, "bbbbbbbbbbbb", "machine.json"), '{"version":1}');
  const longAgo = new Date(Date.now() - 2 * 60 * 60 * 1000);
  for (const id of [...ids.slice(0, 2), "dddddddddddd"]) utimesSync(join(machines, id), longAgo, longAgo);
  assert.deepEqual(await registry.list(), []);
  await registry.sweep();
  assert.deepEqual(readdirSync(machines).sort(), ids.slice(0, 3));
});

test("a run directory from a record that was tampered with is not deleted", async () => {
  using home = new TemporaryHome();
  const registry = new MachineRegistry(new Home(home.root));
  const record = await registry.add("x", recordMaker("x"));
  const precious = join(home.root, "precious");
  mkdirSync(precious);
  await registry.remove({ ...record, runDirectory: precious });
  assert.ok(readdirSync(home.root).includes("precious"));
});
