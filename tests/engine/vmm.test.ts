// Our own engine's machines, with guests of a few bytes: how each ends, and that nothing is left of it. Any KVM will
// do, the emulated one of a nested host too.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { EngineConfig } from "../../src/engine/engine.ts";
import { PhaseClock } from "../../src/engine/phase-clock.ts";
import { bootMachine, buildToBoot } from "../../src/engine/vmm/boot-machine.ts";
import type { VmmMachine } from "../../src/engine/vmm/machine.ts";
import { startVcpus } from "../../src/engine/vmm/start-vcpus.ts";
import type { VcpuTicket } from "../../src/hypervisor/vcpu.ts";
import { DescriptorWatch } from "../../src/sys/linux/descriptor-watch.ts";
import { openResources } from "../../src/sys/open-resources.ts";
import { checkout } from "../fixtures/images.ts";
import { settled } from "./settled.ts";
import { tinyKernels, writeTinyKernel } from "./tiny-kernel.ts";
import { noKvm } from "./tiny-machines.ts";

describe("a machine of the vmm engine", { skip: noKvm }, () => {
  let folder: string;
  const watch = new DescriptorWatch();
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "vmm-"));
    writeFileSync(join(folder, "initramfs"), "x");
    writeFileSync(join(folder, "rootfs"), new Uint8Array(4096));
  });
  after(() => rmSync(folder, { recursive: true }));

  const config = (kernel: keyof typeof tinyKernels, change: Partial<EngineConfig> = {}): EngineConfig => ({
    id: "0123456789ab",
    architecture: "x64",
    cpus: 1,
    memoryMiB: 64,
    kernel: {
      image: writeTinyKernel(folder, tinyKernels[kernel]),
      initramfs: join(folder, "initramfs"),
      release: "tiny",
    },
    rootfs: join(folder, "rootfs"),
    network: "none",
    directory: folder,
    home: folder,
    origin: { kind: "boot" },
    ...change,
  });

  /** Runs a machine to its end, and asserts that everything it took was given back. */
  const endOf = async (machine: () => VmmMachine): Promise<unknown> => {
    const before = await settled(held);
    const exit = await machine().exited;
    assert.deepEqual(await settled(held), before);
    return exit;
  };

  test("ends when the guest powers off", async () => {
    assert.deepEqual(await endOf(() => bootMachine(config("powerOff"), watch)), { kind: "powered-off" });
  });

  test("ends with the console's lines when the guest panics", async () => {
    const exit = await endOf(() => bootMachine(config("panic"), watch));
    assert.deepEqual(exit, { kind: "panic", console: ["Kernel panic - not syncing: tiny"] });
  });

  test("ends as failed when the guest's processor triple-faults", async () => {
    const exit = (await endOf(() => bootMachine(config("tripleFault"), watch))) as {
      kind: string;
      detail: string;
    };
    assert.equal(exit.kind, "failed");
    assert.match(exit.detail, /triple fault/);
  });

  for (const kernel of ["idle", "busy"] as const)
    test(`is killed at once while its guest is ${kernel} and never answers; its agent is given up`, async () => {
      let agent: Promise<unknown> | undefined;
      const exit = await endOf(() => {
        const machine = bootMachine(config(kernel, { cpus: 2 }), watch);
        agent = machine.agent;
        setTimeout(() => void machine.kill(), 50);
        return machine;
      });
      assert.deepEqual(exit, { kind: "killed" });
      await assert.rejects(agent as Promise<unknown>, { code: "MACHINE_EXITED" });
    });

  test("a vCPU thread that is ended by force ends the machine as failed, and leaks nothing", async () => {
    const before = await settled(held);
    const built = buildToBoot(config("idle", { cpus: 2 }), watch, new PhaseClock());
    const threads = startVcpus(built, { onConsole: () => {} });
    await new Promise((resolve) => setTimeout(resolve, 200));
    threads[0]?.terminate();
    const result = await threads[0]?.ended;
    assert.equal(result?.kind, "failed");
    threads[1]?.stop();
    assert.equal((await threads[1]?.ended)?.kind, "stopped");
    built[Symbol.dispose]();
    assert.deepEqual(await settled(held), before);
  });

  test("a thread runs one vCPU after the other, with the same results", async () => {
    await bootMachine(config("powerOff", { cpus: 2 }), watch).exited;
    const warm = idleThreads();
    assert.ok(warm.length >= 2, `${warm.length} idle threads`);
    const results = { powerOff: "powered-off", panic: "panic", tripleFault: "failed" } as const;
    for (const [kernel, kind] of Object.entries(results)) {
      const exit = await bootMachine(config(kernel as keyof typeof results, { cpus: 2 }), watch).exited;
      assert.equal(exit.kind, kind);
      assert.deepEqual(idleThreads(), warm);
    }
  });

  test("a thread whose vCPU failed, or that was ended by force, runs no other", async () => {
    const built = buildToBoot(config("idle", { cpus: 3 }), watch, new PhaseClock());
    const [first, ...others] = built.vcpus;
    const broken = { ...built, vcpus: [{ ...first, fd: 9999 } as unknown as VcpuTicket, ...others] };
    const threads = startVcpus(broken, { onConsole: () => {} });
    const failure = await threads[0]?.ended;
    assert.equal(failure?.kind, "failed");
    await new Promise((resolve) => setTimeout(resolve, 500));
    const [, second, third] = ["vcpu 0", "vcpu 1", "vcpu 2"].map((name) => threadsNamed(name)[0]);
    threads[1]?.terminate();
    assert.equal((await threads[1]?.ended)?.kind, "failed");
    threads[2]?.stop();
    assert.equal((await threads[2]?.ended)?.kind, "stopped");
    // Too late, and for a thread that is not theirs any more.
    threads[2]?.terminate();
    threads[2]?.stop();
    built[Symbol.dispose]();
    await settled(held);
    assert.equal(idleThreads().includes(third ?? ""), true);
    assert.equal(idleThreads().includes(second ?? ""), false);
    assert.deepEqual(threadsNamed("vcpu 0"), []);
    assert.deepEqual((await bootMachine(config("powerOff", { cpus: 3 }), watch).exited).kind, "powered-off");
  });

  test("threads that wait for a vCPU do not keep the process alive", () => {
    const workers = new URL("../../src/engine/vmm/vcpu-workers.js", import.meta.url).href;
    const script = join(folder, "prepare.mjs");
    for (const aliveMs of [0, 2000]) {
      const lines = [
        `import { vcpuWorkers } from ${JSON.stringify(workers)};`,
        "vcpuWorkers.prepare(2);",
        `setTimeout(() => {}, ${aliveMs});`,
      ];
      writeFileSync(script, lines.join("\n"));
      execFileSync(process.execPath, [script], { timeout: 20_000 });
    }
  });

  test("the process's command line options are not a vCPU thread's", () => {
    const worker = new URL("../../src/engine/vmm/vcpu-worker.js", import.meta.url).href;
    const script = `import { VcpuWorker } from ${JSON.stringify(worker)};
      const died = await Promise.race([
        new VcpuWorker().exited,
        new Promise((resolve) => setTimeout(resolve, 2000, "lives")),
      ]);
      console.log(died);`;
    const output = execFileSync(process.execPath, ["--input-type=module", "-e", script], { timeout: 20_000 });
    assert.equal(output.toString(), "lives\n");
  });

  test("what cannot be had is a typed error that names it, and undoes what was done", async () => {
    const before = await settled(held);
    const missing = { image: join(folder, "none"), initramfs: join(folder, "initramfs"), release: "x" };
    assert.throws(() => bootMachine(config("idle", { kernel: missing }), watch), {
      code: "KERNEL_NOT_FOUND",
    });
    assert.throws(() => bootMachine(config("idle", { rootfs: join(folder, "none") }), watch), /none/);
    const garbage = { ...missing, image: join(folder, "rootfs") };
    assert.throws(() => bootMachine(config("idle", { kernel: garbage }), watch), {
      code: "KERNEL_NOT_FOUND",
    });
    assert.deepEqual(await settled(held), before);
  });

  test("running out of descriptors is a typed error, and leaves none open", () => {
    const script = join(checkout, "dist", "tests", "engine", "few-descriptors.js");
    const kernel = writeTinyKernel(folder, tinyKernels.idle);
    const output = execFileSync("sh", [
      "-c",
      'ulimit -n 120; exec "$0" "$@"',
      process.execPath,
      script,
      kernel,
      folder,
    ]);
    assert.match(output.toString(), /^(NATIVE_CALL_FAILED|HYPERVISOR|BOOT_FAILED): .*EMFILE.* leaked 0$/m);
  });

  test("200 machines in a row leave no descriptor, mapping, thread or memory behind", async () => {
    const run = async (): Promise<void> => {
      const exit = await bootMachine(config("powerOff"), watch).exited;
      assert.equal(exit.kind, "powered-off");
    };
    for (let count = 0; count < 20; count++) await run();
    const before = await settled(held);
    const idleBefore = idleThreads().length;
    const memoryBefore = residentMiB();
    const descriptorsBefore = readdirSync("/proc/self/fd").length;
    for (let count = 0; count < 200; count++) await run();
    assert.deepEqual(await settled(held), before);
    assert.ok(idleThreads().length <= idleBefore + 1, `${idleThreads().length} idle threads`);
    const descriptors = readdirSync("/proc/self/fd").length;
    assert.ok(
      descriptors < descriptorsBefore + 50,
      `${descriptorsBefore} descriptors before, ${descriptors} after`,
    );
    assert.ok(residentMiB() < memoryBefore + 40, `${memoryBefore} MiB before, ${residentMiB()} MiB after`);
  });
});

/** What was opened through `src/sys` and not closed, and vCPU threads. Node closes a worker's own files when it likes. */
interface Held {
  readonly fd: number;
  readonly mapping: number;
  readonly threads: number;
}

function held(): Held {
  return { ...openResources(), threads: threadsNamed("vcpu").length };
}

/** Ids of the threads that wait for a vCPU. */
function idleThreads(): string[] {
  return threadsNamed("idle vcpu");
}

/** Ids of this process's threads whose name starts so. */
function threadsNamed(start: string): string[] {
  return readdirSync("/proc/self/task").filter((id) => {
    try {
      return readFileSync(`/proc/self/task/${id}/comm`, "utf8").startsWith(start);
    } catch {
      return false;
    }
  });
}

function residentMiB(): number {
  globalThis.gc?.();
  return process.memoryUsage.rss() / 2 ** 20;
}
