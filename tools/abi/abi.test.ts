import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { emitTypeScript } from "./emit.ts";
import { kvmX64 } from "./kvm-x64.ts";
import type { AbiDescription } from "./layout.ts";
import { linuxX64 } from "./linux-x64.ts";
import { measureAbi } from "./measure.ts";

const skip = reasonToSkip();

function reasonToSkip(): string | false {
  if (process.platform !== "linux" || process.arch !== "x64")
    return "the headers are those of Linux on x86-64";
  try {
    execFileSync("cc", ["-E", "-include", "linux/kvm.h", "-x", "c", "/dev/null"], { stdio: "ignore" });
    return false;
  } catch {
    return "no C compiler, or no Linux headers";
  }
}

/** Without the line that names the header version: newer headers with the same layout are as good. */
function body(text: string): string {
  return text.slice(text.indexOf("\n"));
}

for (const description of [kvmX64, linuxX64] satisfies AbiDescription[]) {
  test(`src/abi/${description.output} is what the system's headers say`, { skip }, () => {
    const checkedIn = readFileSync(`src/abi/${description.output}`, "utf8");
    assert.equal(body(checkedIn), body(emitTypeScript(measureAbi(description))));
  });
}
