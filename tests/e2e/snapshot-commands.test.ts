// Snapshots, copies and warm-ups, each step from another process.
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { testImage } from "../fixtures/images.ts";
import { finished, TestHome } from "./cli.ts";
import { noSnapshots } from "./snapshot-support.ts";

// Homes of tests share their snapshots.
const ready = `ready-${process.pid}`;
const again = `again-${process.pid}`;
const shape = ["-q", "-m", "128m", "--cpus", "1"];

describe("snapshots on the command line", { skip: noSnapshots }, () => {
  let home: TestHome;
  let image: string;
  let warmBefore: string[] = [];
  const done = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await home.run(args);
    assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  const warmIds = async (): Promise<string[]> => {
    const kept: { id: string; kind: string }[] = JSON.parse(await done("snapshots", "ls", "--json"));
    return kept.filter(({ kind }) => kind === "warm").map(({ id }) => id);
  };
  before(async () => {
    home = new TestHome();
    image = testImage("busybox").layout;
    warmBefore = await warmIds();
  });
  after(async () => {
    const warm = (await warmIds()).filter((id) => !warmBefore.includes(id));
    await home.run(["snapshots", "rm", ready, again, ...warm]);
    await home[Symbol.asyncDispose]();
  });

  test("a machine is kept, and goes on in copies with names of their own", async () => {
    const count = "i=0; trap 'exit 9' TERM; while :; do i=$((i+1)); echo $i; sleep 0.2; done";
    await done("run", "-d", "--name", "first", ...shape, image, "sh", "-c", count);
    await done("exec", "first", "sh", "-c", "echo kept >/state");
    const id = (await done("snapshot", "first", ready)).trim();
    const refused = await home.run(["snapshot", "first", ready]);
    assert.match(refused.stderr, /Another snapshot is called/);

    const other = await home.run(["restore", ready, "sh", "-c", "cat /state; exit 5"]);
    assert.deepEqual([other.code, other.stdout], [5, "kept\n"], other.stderr);

    await done("restore", "-d", "--name", "copy", id.slice(0, 12));
    assert.equal(await done("exec", "copy", "cat", "/state"), "kept\n");
    await done("exec", "copy", "touch", "/tmp/left");
    assert.equal(await done("reset", "copy"), "copy\n");
    assert.equal(await done("exec", "copy", "ls", "/tmp"), "");

    assert.equal((await done("fork", "-n", "2", "--name", "w", "copy")).split("\n").length, 3);
    assert.equal(await done("exec", "w-2", "cat", "/state"), "kept\n");
    const stats = JSON.parse(await done("stats", "--json"));
    assert.equal(stats.length, 4);
    for (const { cpuMs, memoryBytes, guestMemoryBytes, exits } of stats)
      assert.ok(cpuMs > 0 && exits > 0 && memoryBytes > guestMemoryBytes && guestMemoryBytes > 0);

    const used = await home.run(["snapshots", "rm", ready]);
    assert.match(used.stderr, /cannot be removed/);
    await done("kill", "first", "copy", "w-1", "w-2");
  });

  test("a main command that goes on is joined, and hears signals", async () => {
    const child = home.start(["restore", "-q", ready]);
    const result = finished(child);
    child.stdout?.once("data", () => child.kill("SIGTERM"));
    const { code, stdout, stderr } = await result;
    // The guest's shell may say that its sleep was terminated as well.
    assert.equal(code, 9, stderr);
    assert.match(stdout, /^[0-9]+\n/);
    assert.equal(Number(stdout.split("\n")[0]) > 1, true, "it starts where the snapshot was made");
  });

  test("a snapshot leaves in a file and comes back", async () => {
    const file = join(home.path, "ready.snapshot");
    await done("snapshots", "export", "--gzip", ready, file);
    await done("snapshots", "rm", ready);
    await done("snapshots", "import", file, again);
    rmSync(file);
    assert.equal(await done("restore", "-q", again, "cat", "/state"), "kept\n");
  });

  test("a warm-up is done once, and one that fails leaves nothing", async () => {
    const script = `cat /proc/sys/kernel/random/uuid >/warm; : ${ready}`;
    const run = () => done("run", ...shape, "--warmup", script, image, "cat", "/warm");
    assert.equal(await run(), await run());
    const failed = await home.run(["run", ...shape, "--warmup", "echo oops; exit 3", image, "true"]);
    assert.equal(failed.code, 125);
    assert.match(failed.stderr, /exited with 3\n {2}\| oops\n/);
    assert.equal((await warmIds()).length, warmBefore.length + 1);
  });
});
