// What a copy of a machine has of it, what it has not, and what is left of both.
// SUPERMACHINE_FORKS: copies made at once (5). SUPERMACHINE_RESETS: resets in a row (5).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { Machine, Snapshot } from "../../src/index.ts";
import { AsyncDisposalStack } from "../../src/lifetime/async-disposal-stack.ts";
import { testImage } from "../fixtures/images.ts";
import { TestHome } from "./cli.ts";
import { code, inBackground, noSnapshots, said, small, times, until } from "./snapshot-support.ts";

const dayMs = 24 * 60 * 60 * 1000;

describe("a copy of a machine", { skip: noSnapshots }, () => {
  let home: TestHome;
  let source: Machine;
  let snapshot: string;
  before(async () => {
    home = new TestHome();
    const main =
      "s=0.2; i=0; while :; do i=$((i+1)); echo tick $i; [ -e /tmp/enough ] && s=60; sleep $s; done";
    source = await Machine.create(testImage("busybox").layout, { ...small, command: ["sh", "-c", main] });
    await said(source, "echo kept >/root/file");
    await inBackground(
      source,
      "i=0; until [ -e /tmp/enough ]; do i=$((i+1)); echo $i >/tmp/count; sleep 0.1; done",
    );
    await inBackground(
      source,
      "until [ -e /tmp/enough ]; do od -An -v -N16 -tx1 /dev/urandom >>/tmp/random; done",
    );
    await until("it counts", async () => Number(await said(source, "cat /tmp/count || echo 0")) > 2);
  });
  after(async () => {
    await source?.[Symbol.asyncDispose]();
    const left = await Machine.list({ all: true });
    if (snapshot !== undefined) await Snapshot.remove(snapshot);
    await home[Symbol.asyncDispose]();
    assert.deepEqual(left, []);
  });

  test("is made while commands run in the machine, which go on and do not notice", async () => {
    const open = source.exec(["sh", "-c", "i=0; while :; do i=$((i+1)); echo line $i; usleep 50000; done"]);
    const lines = numbers(open.stdout);
    await lines.next();
    const { id } = await source.snapshot();
    snapshot = id;
    const { value: first = 0 } = await lines.next();
    for (let expected = first + 1; expected < first + 20; expected++)
      assert.equal((await lines.next()).value, expected);
    await open.kill("SIGKILL");
    assert.equal((await open).signal, "SIGKILL");
    assert.equal((await Snapshot.inspect(id)).kind, "snapshot");
  });

  test("has its files and its memory, and its processes go on in it, but no commands of callers", async () => {
    await using copy = await Machine.create({ snapshot, network: "none", onWarning: () => {} });
    assert.equal(await said(copy, "cat /root/file"), "kept");
    const before = Number(await said(copy, "cat /tmp/count"));
    assert.ok(before > 2);
    await until("it counts on", async () => Number(await said(copy, "cat /tmp/count")) > before);
    assert.equal(await said(copy, "ps | grep -c '[l]ine \\$i' || true"), "0");
    // What one writes is not seen by the other.
    await said(copy, "echo changed >/root/file");
    assert.equal(await said(source, "cat /root/file"), "kept");
    const ticks: number[] = [];
    for await (const { bytes } of copy.logs({ follow: true })) {
      ticks.push(
        ...[
          ...Buffer.from(bytes)
            .toString()
            .matchAll(/tick (\d+)/g),
        ].map((match) => Number(match[1])),
      );
      if (ticks.length >= 3) break;
    }
    assert.ok((ticks[0] ?? 0) > 1, `it does not start over: ${ticks}`);
    assert.deepEqual(
      ticks,
      ticks.map((_, index) => (ticks[0] ?? 0) + index),
      "none is lost",
    );
  });

  test("is a machine of its own: host name, identity and randomness are not those of another", async () => {
    const script =
      "cat /etc/machine-id /proc/sys/kernel/random/boot_id /etc/hostname; hostname; od -An -N16 -tx8 /dev/urandom";
    await using gone = new AsyncDisposalStack();
    const create = () => Machine.create({ snapshot, network: "none", onWarning: () => {} });
    const copies = [gone.use(await create()), gone.use(await create())];
    const machines = [source, ...copies];
    const shown = await Promise.all(machines.map((machine) => said(machine, script)));
    const [machineIds, bootIds, files, names, random] = [0, 1, 2, 3, 4].map((line) =>
      shown.map((text) => text.split("\n")[line]),
    );
    for (const values of [machineIds, bootIds, random]) assert.equal(new Set(values).size, 3, `${values}`);
    assert.deepEqual(
      names,
      machines.map(({ id }) => id),
    );
    assert.deepEqual(files, names);
    // Of a process that was reading all the time: what it had read by then, and from then on nothing in common.
    const read = async (machine: Machine): Promise<string[]> =>
      (await said(machine, "cat /tmp/random")).split("\n");
    const common = async (): Promise<number> => {
      const [one = [], other = []] = await Promise.all(copies.map(read));
      return one.findIndex((line, index) => other[index] !== undefined && line !== other[index]);
    };
    await until("both have read more", async () => (await common()) >= 0);
    const start = await common();
    const reached = async (): Promise<boolean> =>
      (await Promise.all(copies.map(read))).every(({ length }) => length > start + 5);
    await until("both have read some lines", reached);
    const [one = [], other = []] = await Promise.all(copies.map(read));
    const later = new Set(one.slice(start));
    assert.deepEqual(
      other.slice(start).filter((line) => later.has(line)),
      [],
    );
  });

  test("has the time of day, however old its snapshot is", async (t) => {
    const now = Date.now;
    t.after(() => {
      Date.now = now;
    });
    Date.now = () => now() + dayMs;
    await using copy = await Machine.create({ snapshot, network: "none", onWarning: () => {} });
    const there = Number(await said(copy, "date +%s")) * 1000;
    assert.ok(Math.abs(there - Date.now()) < dayMs / 24, `${there} is not ${Date.now()}`);
  });

  test("is one of many, which share what they have not written, and leave nothing", async () => {
    const count = times("SUPERMACHINE_FORKS", 5);
    // Fifty copies that do all this would leave one another nothing of the host.
    await said(source, "touch /tmp/enough");
    const forks = await source.fork(count);
    await using gone = new AsyncDisposalStack();
    for (const fork of forks) gone.use(fork);
    const answers = await Promise.all(forks.map((fork) => said(fork, "cat /root/file; hostname")));
    assert.deepEqual(
      answers,
      forks.map(({ id }) => `kept\n${id}`),
    );
    // Of one snapshot; others on this host have their own.
    const infos = await Promise.all(forks.map((fork) => fork.info()));
    const [made = assert.fail(), ...others] = new Set(infos.map((info) => info.snapshot));
    assert.deepEqual(others, []);
    const own = anonymousBytes(`${made}/memory.img`);
    assert.ok(
      own > 0 && own < (count * 128 * 2 ** 20) / 2,
      `${own} bytes of ${count} machines are their own`,
    );
    await gone[Symbol.asyncDispose]();
    const isThere = async () => (await Snapshot.list({ all: true })).some(({ id }) => id === made);
    await until("the forks' snapshot is gone", async () => !(await isThere()));
    assert.deepEqual(
      (await Machine.list({ all: true })).map(({ id }) => id),
      [source.id],
    );
  });
});

describe("a machine that is reset", { skip: noSnapshots }, () => {
  let home: TestHome;
  before(() => {
    home = new TestHome();
  });
  after(() => home[Symbol.asyncDispose]());

  test("is as new each time: no files, no processes, no commands of before, and the same name", async () => {
    const image = testImage("busybox").layout;
    await using machine = await Machine.create(image, { ...small, hostname: "unchanged" });
    for (let round = 0; round < times("SUPERMACHINE_RESETS", 5); round++) {
      assert.equal(await said(machine, "ls /tmp; ls /root; hostname"), "unchanged", `round ${round}`);
      assert.equal(await said(machine, "ps | grep -c '[s]leep 4321' || true"), "0");
      await said(machine, "echo over >/tmp/left; echo over >/root/left; rm /bin/vi; hostname other");
      await inBackground(machine, "sleep 4321");
      const open = machine.exec(["sleep", "4322"]);
      await open.pid;
      const ended = assert.rejects(async () => await open, code("MACHINE_EXITED"));
      await machine.reset();
      await ended;
    }
    assert.equal(await said(machine, "ls /bin/vi"), "/bin/vi");
  });
});

/** The numbers in lines such as "line 12". */
async function* numbers(stream: AsyncIterable<Uint8Array>): AsyncGenerator<number> {
  let text = "";
  for await (const bytes of stream) {
    const lines = (text + Buffer.from(bytes).toString()).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) yield Number(line.split(" ")[1]);
  }
}

/** Memory of this process that was the file's, and is no longer shared with it. */
function anonymousBytes(file: string): number {
  const mappings = readFileSync("/proc/self/smaps", "utf8").split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  return mappings
    .filter((mapping) => mapping.split("\n")[0]?.endsWith(file))
    .map((mapping) => Number(/^Anonymous: +(\d+) kB$/m.exec(mapping)?.[1]) * 1024)
    .reduce((sum, bytes) => sum + bytes, 0);
}
