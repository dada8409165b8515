import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { image } from "./images.mjs";
import { median } from "./sample.mjs";

const runs = 3;

/**
 * The Debian image's layers to EROFS, in a process of its own, against `mkfs.erofs` on the same tree as unpacked by
 * umoci. Unpacking compressed layers is counted for us: the other side's tree is unpacked already.
 */
export async function measureConversion() {
  const source = image("python");
  const scratch = mkdtempSync(join(tmpdir(), "bench-convert-"));
  try {
    const bundle = join(scratch, "bundle");
    execFileSync("umoci", ["unpack", "--image", source.replace(/^oci:/, ""), bundle], { stdio: "ignore" });
    const theirs = [];
    const ours = [];
    let report;
    for (let run = 0; run < runs; run++) {
      const target = join(scratch, "theirs.erofs");
      rmSync(target, { force: true });
      const started = performance.now();
      execFileSync("mkfs.erofs", [target, join(bundle, "rootfs")], { stdio: "ignore" });
      theirs.push(performance.now() - started);
      const child = [join(import.meta.dirname, "convert-once.mjs"), source, join(scratch, `home-${run}`)];
      report = JSON.parse(execFileSync(process.execPath, child, { encoding: "utf8" }));
      ours.push(report.convertMs);
    }
    const megabytes = statSync(join(scratch, "theirs.erofs")).size / 2 ** 20;
    return [
      { what: "mkfs.erofs", value: median(theirs), unit: "ms" },
      {
        what: "layers to EROFS",
        value: median(ours),
        unit: "ms",
        ratio: median(ours) / median(theirs),
        against: "mkfs.erofs",
      },
      { what: "  its speed", value: megabytes / (median(ours) / 1000), unit: "MiB/s" },
      { what: "  peak memory of the process", value: report.peakMiB, unit: "MiB" },
    ];
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
