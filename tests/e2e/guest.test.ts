// What a program finds inside the guest.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Machine } from "../../src/index.ts";
import { testImage } from "../fixtures/images.ts";
import { TestHome } from "./cli.ts";

describe("the guest", () => {
  let home: TestHome;
  let machine: Machine;
  before(async () => {
    home = new TestHome();
    machine = await Machine.create(testImage("busybox").layout, { hostname: "inside", onWarning: () => {} });
  });
  after(async () => {
    await machine?.[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });

  const output = async (script: string): Promise<string> => {
    const result = await machine.shell(script);
    assert.equal(result.exitCode, 0, result.stderr);
    return result.stdout.trim();
  };

  test("has the usual file systems", async () => {
    const mounts = await output("cut -d' ' -f2,3 /proc/mounts");
    for (const each of [
      "/ overlay",
      "/proc proc",
      "/sys sysfs",
      "/dev/pts devpts",
      "/dev/shm tmpfs",
      "/run tmpfs",
    ])
      assert.ok(mounts.split("\n").includes(each), `${each} is missing in:\n${mounts}`);
    assert.match(mounts, /\/sys\/fs\/cgroup cgroup2/);
  });

  test("has the device nodes that programs expect", async () => {
    await output(
      "for d in null zero full random urandom tty ptmx; do test -c /dev/$d || { echo $d >&2; exit 1; }; done",
    );
    assert.equal(await output("echo hi >/dev/stdout; readlink /dev/fd"), "hi\n/proc/self/fd");
    await output("dd if=/dev/zero of=/dev/shm/x bs=1k count=4 2>/dev/null");
  });

  test("has names: hosts and hostname", async () => {
    assert.equal(await output("cat /etc/hostname; hostname"), "inside\ninside");
    assert.match(await output("cat /etc/hosts"), /127\.0\.0\.1\s+localhost[\s\S]*inside/);
    assert.match(await output("ip addr show lo"), /127\.0\.0\.1/);
  });

  test("has name servers where it has a network", async (t) => {
    const { engine } = await machine.info();
    if (engine === "vmm") return t.skip("the engine vmm has no outbound network yet");
    assert.match(await output("cat /etc/resolv.conf"), /^nameserver /m);
  });

  test("has a writable root whose writes are its own", async () => {
    await output("echo changed > /bin/new-file; rm /etc/group; test -s /bin/new-file");
    const other = await Machine.create(testImage("busybox").layout, { onWarning: () => {} });
    try {
      assert.equal((await other.exec(["cat", "/etc/group"])).exitCode, 0);
      assert.equal((await other.exec(["test", "-e", "/bin/new-file"])).exitCode, 1);
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });

  test("has the right time and fresh entropy", async () => {
    const skewMs = Math.abs(Number(await output("date +%s")) * 1000 - Date.now());
    assert.ok(skewMs < 60_000, `${skewMs} ms off`);
    assert.notEqual(
      await output("head -c 16 /dev/urandom | sha256sum"),
      await output("head -c 16 /dev/urandom | sha256sum"),
    );
  });

  test("cannot change its root image", async () => {
    const images = join(home.path, "rootfs");
    const sums = (): string[] =>
      readdirSync(images).map((name) =>
        createHash("sha256")
          .update(readFileSync(join(images, name)))
          .digest("hex"),
      );
    const before = sums();
    assert.ok(before.length > 0);
    await machine.shell(
      "d=/dev/vda; [ -b $d ] || d=/dev/pmem0; dd if=/dev/zero of=$d bs=4096 count=64 conv=fsync",
    );
    assert.deepEqual(sums(), before);
  });
});

describe("a machine that ends by itself", () => {
  let home: TestHome;
  before(() => {
    home = new TestHome();
  });
  after(() => home[Symbol.asyncDispose]());

  test("says so at once when the guest kernel panics, with the console's last lines", async () => {
    const machine = await Machine.create(testImage("busybox").layout, { onWarning: () => {} });
    try {
      const running = machine.exec(["sleep", "600"]);
      await running.pid;
      const failure = assert.rejects(
        async () => await running,
        (error: { code?: string; data?: { console?: string[] } }) =>
          error.code === "GUEST_PANIC" && (error.data?.console ?? []).some((line) => line.includes("sysrq")),
      );
      await machine
        .shell("echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger")
        .then(undefined, () => {});
      await failure;
      assert.equal((await machine.wait()).reason, "panic");
    } finally {
      await machine[Symbol.asyncDispose]();
    }
  });

  test("reports a guest that powers itself off", async () => {
    const machine = await Machine.create(testImage("busybox").layout, { onWarning: () => {} });
    try {
      await machine.exec(["poweroff", "-f"]).then(undefined, () => {});
      assert.equal((await machine.wait()).reason, "powered-off");
      await assert.rejects(async () => await machine.exec(["true"]), { code: "MACHINE_NOT_RUNNING" });
    } finally {
      await machine[Symbol.asyncDispose]();
    }
  });
});
