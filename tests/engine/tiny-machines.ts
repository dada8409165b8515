import assert from "node:assert/strict";
import { accessSync, constants, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { CaptureRequest, EngineConfig, MachineOrigin } from "../../src/engine/engine.ts";
import { PhaseClock } from "../../src/engine/phase-clock.ts";
import { bootMachine } from "../../src/engine/vmm/boot-machine.ts";
import type { VmmMachine } from "../../src/engine/vmm/machine.ts";
import { restoreSnapshot, useSnapshot } from "../../src/engine/vmm/restore-snapshot.ts";
import type { MemoryContent } from "../../src/snapshot/host/memory-content.ts";
import { SnapshotStore } from "../../src/snapshot/host/snapshot-store.ts";
import { KIND_LABEL } from "../../src/snapshot/labels.ts";
import { Home } from "../../src/storage/home.ts";
import { DescriptorWatch } from "../../src/sys/linux/descriptor-watch.ts";
import { counterAt } from "./tiny-driver.ts";
import { writeTinyKernel } from "./tiny-kernel.ts";

/** A reason to skip, or false. */
export const noKvm: string | false = canUseKvm() ? false : "no access to /dev/kvm";

/** A home, and machines of a few instructions whose snapshots are kept in it. */
export class TinyMachines implements Disposable {
  readonly home: Home = new Home(mkdtempSync(join(tmpdir(), "tiny-machines-")));
  readonly store: SnapshotStore = new SnapshotStore(this.home);
  readonly watch: DescriptorWatch = new DescriptorWatch();
  #machines = 0;

  constructor() {
    writeFileSync(join(this.home.root, "initramfs"), "x");
    writeFileSync(join(this.home.root, "rootfs"), new Uint8Array(4096));
  }

  config({ cpus = 1, memoryMiB = 16, origin = { kind: "boot" } as MachineOrigin } = {}): EngineConfig {
    const directory = join(this.home.root, `machine-${this.#machines++}`);
    mkdirSync(directory);
    return {
      id: "0123456789ab",
      architecture: "x64",
      cpus,
      memoryMiB,
      kernel: {
        image: join(this.home.root, "tiny-kernel"),
        initramfs: join(this.home.root, "initramfs"),
        release: "tiny",
      },
      rootfs: join(this.home.root, "rootfs"),
      network: "none",
      directory,
      home: this.home.root,
      origin,
    };
  }

  boot(code: readonly number[], shape: { cpus?: number; memoryMiB?: number } = {}): VmmMachine {
    writeTinyKernel(this.home.root, code);
    return bootMachine(this.config(shape), this.watch);
  }

  async restore(id: string, shape: { cpus?: number; memoryMiB?: number } = {}): Promise<VmmMachine> {
    const config = this.config({ ...shape, origin: { kind: "snapshot", id } });
    const lease = await useSnapshot(config, id);
    return await restoreSnapshot(config, { watch: this.watch, lease, clock: new PhaseClock() });
  }

  [Symbol.dispose](): void {
    rmSync(this.home.root, { recursive: true, force: true });
  }
}

/** What `capture` is asked for; `kind` as in the label of that name. */
export function request(kind: string, onResumed: () => void = () => {}): CaptureRequest {
  const labels = { [KIND_LABEL]: kind };
  return { labels, onPausing: async () => [], onResumed, durable: false };
}

/** How far the guest has counted. */
export function counter(content: MemoryContent): bigint {
  const bytes = content.view(counterAt, 8);
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
}

/** Pauses the machine again and again until its guest has counted beyond a number; a thread takes a while to start. */
export async function pausedBeyond(
  machine: VmmMachine,
  least: bigint,
): Promise<Awaited<ReturnType<VmmMachine["pause"]>>> {
  for (let tries = 0; tries < 200; tries++) {
    const paused = await machine.pause();
    if (counter(paused.content) > least) return paused;
    machine.resume();
    await delay(30);
  }
  return assert.fail(`The guest did not count beyond ${least}`);
}

/** A copy of all of the memory. */
export function memoryBytes(content: MemoryContent): Buffer {
  const bytes = Buffer.alloc(content.length);
  for (let at = 0; at < content.length; at += 2 ** 20) bytes.set(content.view(at, 2 ** 20), at);
  return bytes;
}

function canUseKvm(): boolean {
  try {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
