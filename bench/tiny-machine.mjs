// Machines whose guest is a few bytes: they run on any KVM, an emulated one included.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { bootMachine } from "../dist/src/engine/vmm/boot-machine.js";
import { captureMachine } from "../dist/src/engine/vmm/capture.js";
import { restoreSnapshot } from "../dist/src/engine/vmm/restore-snapshot.js";
import { thisHost } from "../dist/src/engine/vmm/this-host.js";
import { SnapshotStore } from "../dist/src/snapshot/host/snapshot-store.js";
import { Home } from "../dist/src/storage/home.js";
import { DescriptorWatch } from "../dist/src/sys/linux/descriptor-watch.js";
import { writeTinyKernel } from "../dist/tests/engine/tiny-kernel.js";

/**
 * Measures with a snapshot of a machine that runs this code, in a folder of its own: `measure` is given the store
 * and `restore(clock)`, which resolves with a machine, its configuration and the snapshot that it came from.
 */
export async function withSnapshotOf(code, measure) {
  const folder = mkdtempSync(join(tmpdir(), "bench-tiny-"));
  try {
    const watch = new DescriptorWatch();
    const store = new SnapshotStore(new Home(join(folder, "home")));
    const configOf = configIn(folder, code);
    const booted = bootMachine(configOf(), watch);
    await sleep(200);
    const id = await keepSnapshot(booted, { store, config: configOf() });
    await booted.kill();
    const restore = async (clock) => {
      const lease = await store.use(id);
      clock.mark("open snapshot");
      const config = { ...configOf(), origin: { kind: "snapshot", id } };
      return {
        machine: await restoreSnapshot(config, { watch, lease, clock }),
        config,
        parent: lease.snapshot,
      };
    };
    return await measure({ store, restore });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Makes configurations of machines with this code as their kernel; each has a folder of its own. */
function configIn(folder, code) {
  writeFileSync(join(folder, "initramfs"), "x");
  writeFileSync(join(folder, "rootfs"), new Uint8Array(4096));
  const kernel = {
    image: writeTinyKernel(folder, code),
    initramfs: join(folder, "initramfs"),
    release: "tiny",
  };
  let machines = 0;
  return () => {
    const directory = join(folder, String(machines++));
    mkdirSync(directory);
    return {
      id: "0123456789ab",
      architecture: "x64",
      cpus: 1,
      memoryMiB: 256,
      kernel,
      rootfs: join(folder, "rootfs"),
      network: "none",
      directory,
      home: join(folder, "home"),
      origin: { kind: "boot" },
    };
  };
}

/** Makes a snapshot of a machine; resolves with its id. */
export async function keepSnapshot(machine, { store, config, parent }) {
  const writer = await store.create();
  try {
    const context = { writer, host: thisHost(config), kernel: config.kernel, parent };
    const hooks = { onPausing: async () => [], onResumed: () => {} };
    return await captureMachine(machine, context, { labels: {}, durable: true, ...hooks });
  } finally {
    await writer[Symbol.asyncDispose]();
  }
}
