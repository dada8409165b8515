#!/usr/bin/env node
// Measures the system's C headers with the compiler and writes src/abi/*.generated.ts. Run it compiled, from
// the root of the checkout: node dist/tools/generate-abi.js
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { emitTypeScript } from "./abi/emit.ts";
import { kvmX64 } from "./abi/kvm-x64.ts";
import { linuxX64 } from "./abi/linux-x64.ts";
import { measureAbi } from "./abi/measure.ts";

for (const description of [linuxX64, kvmX64]) {
  const path = join("src/abi", description.output);
  writeFileSync(path, emitTypeScript(measureAbi(description)));
  console.log(`wrote ${path}`);
}
