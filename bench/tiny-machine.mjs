// Machines whose guest is a few bytes: they run on any KVM, an emulated one included.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { captureMachine } from "../dist/src/engine/vmm/capture.js";
import { thisHost } from "../dist/src/engine/vmm/this-host.js";
import { writeTinyKernel } from "../dist/tests/engine/tiny-kernel.js";

/** Makes configurations of machines with this code as their kernel; each has a folder of its own. */
export function configIn(folder, code) {
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
