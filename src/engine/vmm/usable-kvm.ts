import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, readSync, renameSync, statSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { O_RDWR } from "../../abi/linux.x64.generated.ts";
import type { Home } from "../../storage/home.ts";
import { productVersion } from "../../storage/product-version.ts";
import { createTemporary } from "../../storage/temporary.ts";
import { tryOpen } from "../../sys/linux/file.ts";

const device = "/dev/kvm";
/** Longer than what we write. */
const maxFileBytes = 512;

/**
 * Whether an earlier process found this very KVM usable, and this one may open it. To find out anew, guest code has to
 * run, which takes longer than starting a machine's threads. Only "usable" is ever remembered: a busy host can make the
 * probe fail, and that should not last.
 */
export function isKnownUsable(home: Home, path: string = device): boolean {
  try {
    const known: unknown = JSON.parse(readStart(home.usableKvm));
    const key = typeof known === "object" && known !== null && "key" in known ? known.key : undefined;
    return key === keyOf(kvmFacts(path)) && canOpen(path);
  } catch {
    // Not there yet, or damaged: the probe finds out, and writes it anew.
    return false;
  }
}

/** To be called when a probe has just found it usable. A home that cannot be written to remembers nothing. */
export function rememberUsable(home: Home, path: string = device): void {
  try {
    using temporary = createTemporary(home, "kvm");
    writeFileSync(temporary.path, `${JSON.stringify({ key: keyOf(kvmFacts(path)) })}\n`, { mode: 0o600 });
    renameSync(temporary.path, home.usableKvm);
  } catch {
    // The next process probes again.
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
  const text = JSON.stringify(facts, (_, value) => (typeof value === "bigint" ? `${value}` : value));
  return createHash("sha256").update(text).digest("hex");
}

function canOpen(path: string): boolean {
  const opened = tryOpen(path, O_RDWR);
  if (typeof opened === "number") return false;
  opened[Symbol.dispose]();
  return true;
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
