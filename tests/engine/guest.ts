import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EngineConfig } from "../../src/engine/engine.ts";
import { provideKernel } from "../../src/kernel/host/provide-kernel.ts";
import { Home } from "../../src/storage/home.ts";
import { checkout } from "../fixtures/images.ts";

/** A folder with a small root image, and configurations of machines that use it. */
export class TestGuest implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "engine-test-"));

  /** Fetches the kernel the first time; it is kept between runs and shared with the end-to-end tests. */
  async config(changes: Partial<EngineConfig> = {}): Promise<EngineConfig> {
    const cache = join(checkout, ".cache");
    const home = new Home(join(cache, "engine-home"));
    mkdirSync(home.root, { recursive: true });
    mkdirSync(join(cache, "e2e-kernels"), { recursive: true });
    if (!existsSync(home.kernels)) symlinkSync(join(cache, "e2e-kernels"), home.kernels);
    return {
      id: "00c0ffee0000",
      architecture: "x64",
      cpus: 1,
      memoryMiB: 256,
      kernel: await provideKernel({ home, architecture: "x64" }),
      rootfs: this.#rootfs(),
      network: "none",
      home: home.root,
      origin: { kind: "boot" },
      directory: this.folder,
      ...changes,
    };
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }

  #rootfs(): string {
    const image = join(this.folder, "root,with comma.erofs");
    if (existsSync(image)) return image;
    const tree = join(this.folder, "tree");
    for (const name of ["bin", "etc", "tmp"]) mkdirSync(join(tree, name), { recursive: true });
    copyFileSync("/bin/busybox", join(tree, "bin", "busybox"));
    execFileSync("mkfs.erofs", [image, tree], { stdio: "ignore" });
    return image;
  }
}
