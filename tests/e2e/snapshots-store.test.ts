// The store of snapshots when things go wrong: templates that are damaged or wanted by several at once, and a process
// that is killed while it makes a snapshot. Has a store of its own, so it boots its templates itself.
// SUPERMACHINE_KILLS: how many times a process is killed (2).
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { chmodSync, readdirSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Machine, Snapshot } from "../../src/index.ts";
import { SnapshotStore } from "../../src/snapshot/host/snapshot-store.ts";
import { Home } from "../../src/storage/home.ts";
import { testImage } from "../fixtures/images.ts";
import { TestHome } from "./cli.ts";
import { noSnapshots, times } from "./snapshot-support.ts";

const program = new URL("./snapshotting.process.js", import.meta.url).pathname;

describe("the store of snapshots", { skip: noSnapshots }, () => {
  let home: TestHome;
  let image: string;
  before(() => {
    home = new TestHome();
    // Not the one that the tests share.
    rmSync(join(home.path, "snapshots"));
    image = testImage("busybox").layout;
  });
  after(() => home[Symbol.asyncDispose]());

  const runs = async (): Promise<void> => {
    const args = [
      "run",
      "--rm",
      "-q",
      "-m",
      "128m",
      "--cpus",
      "1",
      "--network",
      "none",
      image,
      "echo",
      "hello",
    ];
    const { code, stdout, stderr } = await home.run(args);
    assert.deepEqual([code, stdout], [0, "hello\n"], stderr);
  };
  const templates = async (): Promise<string[]> =>
    (await Snapshot.list({ all: true })).filter(({ kind }) => kind === "template").map(({ id }) => id);

  test("gets one template from first runs at the same time", async () => {
    assert.deepEqual(await templates(), []);
    await Promise.all([runs(), runs()]);
    assert.equal((await templates()).length, 1);
    await runs();
    assert.equal((await templates()).length, 1);
  });

  test("makes a template that was damaged anew", async () => {
    const [damaged = ""] = await templates();
    const memory = join(home.path, "snapshots", "items", damaged, "memory.img");
    chmodSync(memory, 0o600);
    truncateSync(memory, 4096);
    await runs();
    const now = await templates();
    assert.equal(now.length, 1);
    assert.notEqual(now[0], damaged);
  });

  test("is whole after a process was killed while it made a snapshot, and prune removes what is left", async () => {
    for (let round = 0; round < times("SUPERMACHINE_KILLS", 2); round++) {
      const child = spawn(process.execPath, [program, image], { stdio: ["ignore", "pipe", "inherit"] });
      const { machine, finished } = await killedAtWork(child);
      const store = new SnapshotStore(new Home(home.path));
      const ids = (await store.list()).map(({ id }) => id);
      assert.ok(
        finished.every((id) => ids.includes(id)),
        "what was said to be made is there",
      );
      for (const id of ids) await (await store.use(id, { verify: "full" }))[Symbol.asyncDispose]();
      // A machine inside a program goes with it.
      assert.ok(!(await Machine.list({ all: true })).some(({ id }) => id === machine));
      await Snapshot.prune();
      assert.deepEqual(readdirSync(join(home.path, "tmp")), []);
      const kept = (await store.list()).filter(({ inUse }) => inUse);
      assert.deepEqual(kept, [], "the dead use nothing");
    }
    await runs();
  });
});

/** Kills it at a moment after it has begun its second snapshot. */
async function killedAtWork(child: ChildProcess): Promise<{ machine: string; finished: string[] }> {
  const exited = once(child, "exit");
  let machine = "";
  let begun = 0;
  const finished: string[] = [];
  for await (const line of createInterface({ input: child.stdout ?? assert.fail() })) {
    const [word, id = ""] = line.split(" ");
    if (word === "machine") machine = id;
    if (word === "snapshot") finished.push(id);
    if (word === "begins" && ++begun === 2)
      delay(randomInt(400)).then(
        () => child.kill("SIGKILL"),
        () => {},
      );
  }
  assert.deepEqual((await exited)[1], "SIGKILL");
  return { machine, finished };
}
