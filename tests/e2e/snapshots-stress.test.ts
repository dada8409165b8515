// Snapshots at any moment, of guests that are busy, over and over: every copy is a machine in order.
// SUPERMACHINE_SNAPSHOTS: snapshots at random moments (3; 50 is thorough). SUPERMACHINE_RESTORES: restores of one snapshot
// with several vCPUs (10; 100). SUPERMACHINE_POOL_CYCLES: uses of a pool's machines (15; 500).
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type Lease, Machine, Pool, Snapshot } from "../../src/index.ts";
import { testImage } from "../fixtures/images.ts";
import { TestHome } from "./cli.ts";
import { code, inBackground, noSnapshots, said, small, times, until } from "./snapshot-support.ts";

/** Writes, syncs and checks a file for ever; counts, and says when it was not what was written. */
const busy = `n=0; while :; do
  dd if=/dev/urandom of=/tmp/new bs=64k count=8 2>/dev/null; sha256sum </tmp/new >/tmp/sum; sync
  cp /tmp/new /tmp/copied; sha256sum </tmp/copied | cmp - /tmp/sum || echo $n >>/tmp/bad
  n=$((n+1)); echo $n >/tmp/beats
done`;
const restored = { network: "none", onWarning: () => {} } as const;

describe("snapshots of busy machines", { skip: noSnapshots }, () => {
  let home: TestHome;
  let image: string;
  before(() => {
    home = new TestHome();
    image = testImage("busybox").layout;
  });
  after(async () => {
    const left = await Machine.list({ all: true });
    await home[Symbol.asyncDispose]();
    assert.deepEqual(left, []);
  });

  test("at random moments: each copy goes on, and so does the machine with its commands", async () => {
    await using source = await Machine.create(image, small);
    await inBackground(source, busy);
    await inBackground(source, "while :; do usleep 1000; echo >>/tmp/timer; done");
    const flood = source.exec(["sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); done"]);
    const floods = inOrder(flood.stdout);
    // Its own failure follows from another one's, which is the one to be told.
    floods.catch(() => {});
    const echo = source.exec(["cat"], { stdin: "pipe" });
    const echoed = echo.stdout[Symbol.asyncIterator]();
    for (let round = 0; round < times("SUPERMACHINE_SNAPSHOTS", 3); round++) {
      const answer = echoed.next();
      await delay(randomInt(300));
      const made = source.snapshot();
      echo.stdin.write(`round ${round}\n`);
      assert.equal(Buffer.from((await answer).value as Uint8Array).toString(), `round ${round}\n`);
      const { id } = await made;
      await assertGoesOn(id);
      await Snapshot.remove(id);
    }
    await flood.kill("SIGKILL");
    assert.ok((await floods) > 0);
    await flood;
    echo.stdin.end();
    assert.equal((await echo).exitCode, 0);
    assert.equal(await said(source, "cat /tmp/bad 2>/dev/null || true"), "");
  });

  for (const cpus of [2, 4])
    test(`with ${cpus} vCPUs under load, every restore gives a machine that works`, async () => {
      await using source = await Machine.create(image, { ...small, cpus });
      for (let load = 0; load < cpus; load++)
        await inBackground(source, `while :; do echo $((i=i+1)) >/tmp/load${load}; usleep 100; done`);
      await inBackground(source, busy);
      const { id } = await source.snapshot();
      await source.kill();
      let working = 0;
      const count = times("SUPERMACHINE_RESTORES", 10);
      for (let round = 0; round < count; round++) {
        await using copy = await Machine.create({ snapshot: id, ...restored });
        assert.equal(await said(copy, "nproc"), `${cpus}`);
        const loads = async () => (await said(copy, "cat /tmp/load* | tr '\n' ' '")).split(" ").map(Number);
        const before = await loads();
        await until("all loads go on", async () =>
          (await loads()).every((value, index) => value !== before[index]),
        );
        await copy.kill();
        working++;
      }
      assert.equal(working, count);
      await Snapshot.remove(id);
    });

  test("in a pool that resets them: nobody is handed a dirty machine, or a dead one", async () => {
    await using pool = new Pool({ ...small, image, min: 1, max: 2, onRelease: "reset" });
    const worst = [
      (lease: Lease) => lease.machine.kill(),
      (lease: Lease) => lease.machine.shell("rm -rf /bin/* /etc/* 2>/dev/null; mount -t tmpfs none /tmp"),
      (lease: Lease) => lease.machine.shell("(x=a; while :; do x=$x$x; done) >/dev/null 2>&1 &"),
      (lease: Lease) => lease.machine.shell("kill -9 -1"),
      (lease: Lease) => lease.machine.shell("echo o >/proc/sysrq-trigger; poweroff -f"),
    ];
    const use = async (cycles: number): Promise<void> => {
      for (let cycle = 0; cycle < cycles; cycle++) {
        await using lease = await pool.acquire({ timeoutMs: 300_000 });
        const shown = await said(
          lease.machine,
          "ls /tmp /root; ps | grep -c '[s]leep 4321' || true; hostname",
        );
        assert.deepEqual(shown.split("\n").slice(-2), ["0", lease.machine.id]);
        assert.ok(!shown.includes("dirt"), shown);
        await said(lease.machine, "echo >/tmp/dirt; echo >/root/dirt; (sleep 4321) >/dev/null 2>&1 &");
        const breakIt = worst[randomInt(worst.length * 2)];
        // What becomes of the command is not the point: its machine may be gone.
        await breakIt?.(lease).then(
          () => undefined,
          (error: unknown) =>
            assert.ok(
              code("MACHINE_EXITED", "MACHINE_NOT_RUNNING", "GUEST_PANIC", "AGENT_PROTOCOL")(error),
              String(error),
            ),
        );
      }
    };
    const cycles = times("SUPERMACHINE_POOL_CYCLES", 15);
    await Promise.all([use(Math.ceil(cycles / 2)), use(Math.floor(cycles / 2))]);
    assert.ok(pool.stats().resets > 0, JSON.stringify(pool.stats()));
  });
});

/** Reads numbers in lines to the end; returns how many there were. None is missing. */
async function inOrder(stream: AsyncIterable<Uint8Array>): Promise<number> {
  let text = "";
  let next = 0;
  for await (const bytes of stream) {
    const lines = (text + Buffer.from(bytes).toString()).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) assert.equal(Number(line), next++);
  }
  return next;
}

async function assertGoesOn(snapshot: string): Promise<void> {
  await using copy = await Machine.create({ snapshot, ...restored });
  const beats = async (): Promise<number> => Number(await said(copy, "cat /tmp/beats || echo 0"));
  const timer = async (): Promise<number> => Number(await said(copy, "wc -c </tmp/timer"));
  const [beat, tick] = [await beats(), await timer()];
  await until("it works on", async () => (await beats()) > beat + 1);
  await until("its timers fire", async () => (await timer()) > tick);
  assert.equal(await said(copy, "cat /tmp/bad 2>/dev/null || true"), "");
  assert.equal(await said(copy, "dmesg | grep -E 'BUG:|Oops|protection fault' || true"), "");
  await copy.kill();
}
