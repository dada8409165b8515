import assert from "node:assert/strict";
import { test } from "node:test";
import { createMachine } from "./create-machine.ts";
import { Machine } from "./machine.ts";
import { memoryOf } from "./machine-stats.ts";
import { fakeParts } from "./testing/fake-parts.ts";
import { TemporaryHome } from "./testing/temporary-home.ts";

test("a guest's memory is told apart by the name of its mapping", () => {
  const smaps = [
    "7f0000000000-7f0008000000 rw-p 00000000 08:01 42    /home/u/.supermachine/snapshots/items/ab/memory.img",
    "Size:             131072 kB",
    "Pss:                1000 kB",
    "Pss_Dirty:           900 kB",
    "7f0010000000-7f0010001000 r--p 00000000 08:01 43    /opt/memory.img.txt",
    "Pss:                   4 kB",
    "7f0020000000-7f0020001000 rw-p 00000000 08:01 44    /x/memory.img (deleted)",
    "Pss:                  20 kB",
    "7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0     [stack]",
    "Pss:                   8 kB",
    "",
  ].join("\n");
  assert.deepEqual(memoryOf(smaps), { bytes: 1032 * 1024, guestBytes: 1020 * 1024 });
});

test("stats are those of the machine's process; after its end there are none", {
  skip: process.platform !== "linux",
}, async () => {
  using home = new TemporaryHome();
  await using machine = new Machine(await createMachine("busybox", { home: home.root }, fakeParts()));
  const { cpuMs, memoryBytes, guestMemoryBytes, memoryMiB } = await machine.stats();
  assert.ok(cpuMs > 0 && memoryBytes > 2 ** 20);
  assert.deepEqual([guestMemoryBytes, memoryMiB], [undefined, 512]);
  await machine.kill();
  await assert.rejects(machine.stats(), { code: "MACHINE_NOT_RUNNING" });
});
