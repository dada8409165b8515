import { renameSync, writeFileSync } from "node:fs";
import type { Home } from "../../storage/home.ts";
import { createTemporary } from "../../storage/temporary.ts";
import { keyOf, kvmDevice, kvmFacts } from "./usable-kvm.ts";

/** To be called when a probe has just found it usable. A home that cannot be written to remembers nothing. */
export function rememberUsable(home: Home, path: string = kvmDevice): void {
  try {
    using temporary = createTemporary(home, "kvm");
    writeFileSync(temporary.path, `${JSON.stringify({ key: keyOf(kvmFacts(path)) })}\n`, { mode: 0o600 });
    renameSync(temporary.path, home.usableKvm);
  } catch {
    // The next process probes again.
  }
}
