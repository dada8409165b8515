// Started with a low limit of open files: starts machines until one cannot be had, and says how that failed.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { bootMachine } from "../../src/engine/vmm/boot-machine.ts";
import type { VmmMachine } from "../../src/engine/vmm/machine.ts";
import { SupermachineError } from "../../src/errors/supermachine-error.ts";
import { DescriptorWatch } from "../../src/sys/linux/descriptor-watch.ts";
import { openResources } from "../../src/sys/open-resources.ts";

const [image = "", folder = ""] = process.argv.slice(2);
const config = {
  id: "0123456789ab",
  architecture: "x64",
  cpus: 1,
  memoryMiB: 64,
  kernel: { image, initramfs: join(folder, "initramfs"), release: "tiny" },
  rootfs: join(folder, "rootfs"),
  network: "none",
  home: folder,
  origin: { kind: "boot" },
} as const;
const watch = new DescriptorWatch();
const machines: VmmMachine[] = [];
try {
  for (;;) {
    const before = openResources();
    try {
      const directory = join(folder, `few-${machines.length}`);
      mkdirSync(directory);
      machines.push(bootMachine({ ...config, directory }, watch));
    } catch (error) {
      if (!(error instanceof SupermachineError)) throw error;
      const after = openResources();
      const leaked = after.fd - before.fd + after.mapping - before.mapping;
      console.log(`${error.code}: ${error.message} leaked ${leaked}`);
      break;
    }
  }
} finally {
  await Promise.all(machines.map((machine) => machine.kill()));
}
