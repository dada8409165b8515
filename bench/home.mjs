import { cpSync, existsSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * The test host has no network and throws its disk away: machines there take the kernel that the tests have fetched
 * outside. Everywhere else the user's own home is measured.
 */
export function prepareHome() {
  if (process.env.TESTHOST === undefined || process.env.SUPERMACHINE_HOME !== undefined) return;
  const home = join(tmpdir(), "supermachine-bench");
  process.env.SUPERMACHINE_HOME = home;
  const kernels = join(import.meta.dirname, "..", ".cache", "e2e-kernels");
  if (existsSync(join(home, "kernels")) || !existsSync(kernels)) return;
  mkdirSync(home, { recursive: true });
  cpSync(kernels, join(home, "kernels"), { recursive: true, verbatimSymlinks: true });
}
