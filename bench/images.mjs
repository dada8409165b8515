import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

const checkout = join(import.meta.dirname, "..");

/** The test suite's images: made by umoci and debootstrap, once. */
export function image(name) {
  const layout = join(checkout, ".cache", "images", name);
  if (!existsSync(layout)) execFileSync(join(checkout, "tests", "fixtures", "make-images"), [name]);
  return `oci:${layout}:latest`;
}

/** Options of a machine to measure. */
export function machineOptions(engine) {
  return { engine, memory: 256, cpus: 1, onWarning: () => {} };
}
