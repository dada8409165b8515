import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { probeKvm } from "../../hypervisor/kvm/probe.ts";
import type { GuestArchitecture } from "../../kernel/guest-kernel.ts";

/** A QEMU that was found here, and what it can do for one architecture. */
export interface QemuInstallation {
  readonly binary: string;
  /** "7.2.22" */
  readonly version: string;
  readonly accelerator: "kvm" | "hvf" | "tcg";
  /** Why there is no hardware acceleration, and what to do; with "tcg" only. */
  readonly slow?: { readonly reason: string; readonly remedy: string };
  /** Built with its seccomp filter. */
  readonly sandbox: boolean;
  /** The small firmware is there; looked for only where it is used, with "tcg". */
  readonly qboot: boolean;
}

export interface QemuMissing {
  readonly reason: string;
  readonly remedy: string;
}

/** QEMU's own restrictions on itself: no privileges gained, no processes started, no obsolete system calls. */
export const sandboxOption =
  "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny" as const;

/**
 * Looks for `qemu-system-*` (`SUPERMACHINE_QEMU` names another binary) and asks it what it can do. Looked up once per
 * process and architecture. Never rejects.
 */
export function findQemu(architecture: GuestArchitecture): Promise<QemuInstallation | QemuMissing> {
  const known = found.get(architecture) ?? inspect(architecture);
  found.set(architecture, known);
  return known;
}

const found = new Map<GuestArchitecture, Promise<QemuInstallation | QemuMissing>>();
const machineNames = { x64: "x86_64", arm64: "aarch64" } as const;
const packages = { x64: "qemu-system-x86", arm64: "qemu-system-arm" } as const;

async function inspect(architecture: GuestArchitecture): Promise<QemuInstallation | QemuMissing> {
  const binary = process.env["SUPERMACHINE_QEMU"] || `qemu-system-${machineNames[architecture]}`;
  const [version, sandboxed] = await Promise.all([
    answer(binary, ["--version"]),
    answer(binary, ["-sandbox", sandboxOption, "-accel", "help"]),
  ]);
  const accelerators = sandboxed ?? (await answer(binary, ["-accel", "help"]));
  const number = /version ([0-9]+(\.[0-9]+)*)/.exec(version ?? "")?.[1];
  if (number === undefined || accelerators === undefined)
    return {
      reason: `${binary} is not installed, or does not answer`,
      remedy: `Install ${packages[architecture]}, or name a QEMU with SUPERMACHINE_QEMU`,
    };
  if (!(await hasFile(process.env["PATH"]?.split(":") ?? [], "setpriv")))
    return {
      reason: "setpriv, which ends QEMU together with its owner, is not installed",
      remedy: "Install util-linux",
    };
  const slow = whyNotAccelerated(architecture, accelerators);
  const firmware = slow === undefined ? "" : ((await answer(binary, ["-L", "help"])) ?? "");
  return {
    binary,
    version: number,
    accelerator: slow !== undefined ? "tcg" : process.platform === "darwin" ? "hvf" : "kvm",
    ...(slow !== undefined && { slow }),
    sandbox: sandboxed !== undefined,
    qboot: await hasFile(firmware.split("\n"), "qboot.rom"),
  };
}

function whyNotAccelerated(architecture: GuestArchitecture, accelerators: string): QemuMissing | undefined {
  if (process.arch !== architecture)
    return {
      reason: `This host's processor cannot run ${architecture} machines itself`,
      remedy: `Use images for ${process.arch}`,
    };
  const wanted = process.platform === "darwin" ? "hvf" : "kvm";
  if (!accelerators.split(/\s+/).includes(wanted))
    return { reason: `This QEMU is built without ${wanted}`, remedy: "Install your distribution's QEMU" };
  if (wanted === "hvf") return undefined;
  const kvm = probeKvm();
  return kvm.usable ? undefined : { reason: kvm.reason, remedy: kvm.remedy };
}

/** What a program prints, or undefined when it cannot be run or fails. */
function answer(binary: string, args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    const options = { timeout: 30_000, killSignal: "SIGKILL", maxBuffer: 1024 * 1024 } as const;
    execFile(binary, args, options, (error, stdout) => resolve(error === null ? stdout : undefined));
  });
}

async function hasFile(folders: readonly string[], name: string): Promise<boolean> {
  for (const folder of folders)
    if (folder.startsWith("/") && (await stat(join(folder, name)).catch(() => undefined))?.isFile())
      return true;
  return false;
}
