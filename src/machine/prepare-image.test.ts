import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { PrepareOptions } from "./image.ts";
import { Machine } from "./machine.ts";
import { prepareImage } from "./prepare-image.ts";
import { Snapshot } from "./snapshot.ts";
import { type FakeParts, fakeParts } from "./testing/fake-parts.ts";
import { TemporaryHome } from "./testing/temporary-home.ts";

/** A home with a kernel, as far as anyone looks at it here, and an engine that makes snapshots. */
class Rig extends TemporaryHome {
  readonly parts: FakeParts = { ...fakeParts({ snapshots: true }), provideKernel: async () => this.kernel };
  readonly kernel: { image: string; initramfs: string; release: string };
  warmups = 0;

  constructor() {
    super();
    mkdirSync(this.root, { recursive: true });
    this.kernel = {
      image: join(this.root, "vmlinuz"),
      initramfs: join(this.root, "initramfs"),
      release: "6.1.0-fake",
    };
    for (const path of [this.kernel.image, this.kernel.initramfs]) writeFileSync(path, path);
  }

  prepare(options: Partial<PrepareOptions> = {}) {
    const warmup = async (machine: Machine) => {
      this.warmups++;
      await machine.exec(["true"], { check: true });
    };
    return prepareImage("busybox", { home: this.root, warmup, ...options }, this.parts);
  }
}

test("an image is warmed up once, however many ask, and nothing but the snapshot is left", async () => {
  using rig = new Rig();
  const [first, second] = await Promise.all([rig.prepare(), rig.prepare()]);
  assert.deepEqual([first.id, first.kind, rig.warmups], [second.id, "warm", 1]);
  assert.equal((await rig.prepare()).id, first.id);
  assert.deepEqual([rig.warmups, rig.parts.engine.guests.length], [1, 1]);
  assert.deepEqual(await Machine.list({ all: true, home: rig.root }), []);
});

test("what changes the guest, or the key, makes another state", async () => {
  using rig = new Rig();
  const changes: Partial<PrepareOptions>[] = [
    {},
    { memory: "1g" },
    { cpus: 1 },
    { env: { A: "1", B: "2" } },
    { user: "nobody" },
    { workdir: "/srv" },
    { network: "none" },
    { command: ["sleep"] },
    { key: "other" },
  ];
  for (const change of changes) await rig.prepare(change);
  assert.equal(rig.warmups, changes.length);
  await rig.prepare({ env: { B: "2", A: "1" } });
  assert.equal(rig.warmups, changes.length);
  writeFileSync(rig.kernel.initramfs, "another agent");
  await rig.prepare();
  assert.equal(rig.warmups, changes.length + 1);
});

test("one that no longer fits this host is made anew", async () => {
  using rig = new Rig();
  await rig.prepare();
  rig.parts.engine.misfit = "this processor lacks avx512f";
  await rig.prepare();
  assert.equal(rig.warmups, 2);
});

test("a warm-up that fails is reported as it failed, and nothing is kept", async () => {
  using rig = new Rig();
  const failing = (machine: Machine) => machine.exec(["fail", "3"], { check: true });
  await assert.rejects(rig.prepare({ warmup: failing }), { code: "EXEC_FAILED" });
  const abort = new AbortController();
  const endless = (machine: Machine) => {
    setImmediate(() => abort.abort());
    return machine.exec(["deaf"]);
  };
  await assert.rejects(rig.prepare({ warmup: endless, signal: abort.signal }), { code: "ABORTED" });
  assert.deepEqual(await Snapshot.list({ all: true, home: rig.root }), []);
  assert.deepEqual(await Machine.list({ all: true, home: rig.root }), []);
});

test("a name moves from one prepared state to the next, and is never taken from one made by hand", async () => {
  using rig = new Rig();
  await rig.prepare({ name: "app" });
  const { id } = await rig.prepare({ name: "app", key: "next" });
  assert.equal((await Snapshot.inspect("app", { home: rig.root })).id, id);
  const byHand = await prepareByHand(rig);
  await assert.rejects(rig.prepare({ name: "mine", key: "third" }), { code: "NAME_IN_USE" });
  assert.equal((await Snapshot.inspect("mine", { home: rig.root })).id, byHand);
  assert.equal(rig.warmups, 2);
});

async function prepareByHand(rig: Rig): Promise<string> {
  const { createMachine } = await import("./create-machine.ts");
  await using machine = new Machine(await createMachine("busybox", { home: rig.root }, rig.parts));
  return (await machine.snapshot("mine")).id;
}

test("an engine that makes no snapshots is refused before anything is started", async () => {
  using rig = new Rig();
  const plain = fakeParts();
  const options = { home: rig.root, engine: "qemu", warmup: () => assert.fail("called") } as const;
  await assert.rejects(prepareImage("busybox", options, plain), { code: "UNSUPPORTED" });
  assert.equal(plain.engine.guests.length, 0);
});

test("prune leaves what has a name, and takes prepared states without one when it is asked to", async () => {
  using rig = new Rig();
  await rig.prepare({ name: "app" });
  const { id } = await rig.prepare({ key: "other" });
  assert.deepEqual((await Snapshot.prune({ home: rig.root })).removed, []);
  assert.deepEqual((await Snapshot.prune({ home: rig.root, templates: true })).removed, [id]);
});
