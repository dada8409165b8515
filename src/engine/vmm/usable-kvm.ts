import { closeSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { release } from "node:os";
import type { Home } from "../../storage/home.ts";
import { productVersion } from "../../storage/product-version.ts";
// This is among the first that a command line does: nothing is imported that takes its time to load.

export const kvmDevice = "/dev/kvm";
/** Longer than what we write; who belongs to hundreds of groups probes each time. */
const maxFileBytes = 4096;

/**
 * Whether an earlier process found this very KVM usable, and this one may open it. To find out anew, guest code has to
 * run, which takes longer than starting a machine's threads. Only "usable" is ever remembered: a busy host can make the
 * probe fail, and that should not last.
 */
export function isKnownUsable(home: Home, path: string = kvmDevice): boolean {
  try {
    const known: unknown = JSON.parse(readStart(home.usableKvm));
    const key = typeof known === "object" && known !== null && "key" in known ? known.key : undefined;
    return key === keyOf(kvmFacts(path)) && canOpen(path);
  } catch {
    // Not there yet, or damaged: the probe finds out, and writes it anew.
    return false;
  }
}

/** Everything that a probe's verdict may depend on. */
export type KvmFacts = Readonly<Record<string, string | number | bigint | readonly number[] | undefined>>;

/** The node's times and number change when the kernel's module is loaded again, or its permissions are changed. */
export function kvmFacts(path: string): KvmFacts {
  const node = statSync(path, { bigint: true });
  return {
    boot: readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim(),
    kernel: release(),
    path,
    device: node.rdev,
    filesystem: node.dev,
    inode: node.ino,
    changed: node.ctimeNs,
    user: process.geteuid?.(),
    group: process.getegid?.(),
    groups: process.getgroups?.(),
    node: process.version,
    product: productVersion(),
  };
}

export function keyOf(facts: KvmFacts): string {
  return JSON.stringify(facts, (_, value) => (typeof value === "bigint" ? `${value}` : value));
}

function canOpen(path: string): boolean {
  try {
    closeSync(openSync(path, "r+"));
    return true;
  } catch {
    return false;
  }
}

function readStart(path: string): string {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(maxFileBytes);
    return bytes.toString("utf8", 0, readSync(file, bytes, 0, maxFileBytes, 0));
  } finally {
    closeSync(file);
  }
}
