#!/usr/bin/env node
// Fails when an import points up the layer order, when two folders import each other, when a native library is
// loaded outside src/sys, or when a source file outside a host folder imports from node:. The pure layers'
// freedom from Node is also enforced by the compiler (tsconfig.pure.json has no `types`).
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";

/** Lower layers first. Folders in one row may not import each other. */
const layers = [
  ["errors", "abi", "lifetime", "progress", "streams"],
  ["memory", "snapshot", "storage", "tar", "bus", "streams/host"],
  ["virtio", "snapshot/host"],
  ["devices", "arch", "net"],
  ["hypervisor"],
  ["image", "rootfs", "agent", "kernel"],
  ["sys"],
  ["hypervisor/kvm", "hypervisor/hvf", "hypervisor/whp", "hypervisor/soft"],
  ["engine"],
  ["machine"],
  ["cli", "index"],
];
/** Imports that the order above does not allow but the design does, each with its reason. */
const exceptions = new Map([
  ["rootfs -> image", "a root file system is made from an image's layers: plain data types only"],
]);

const root = join(import.meta.dirname, "..", "src");
const rank = new Map(layers.flatMap((row, index) => row.map((folder) => [folder, index])));
const problems = [];

for (const file of sourceFiles(root)) {
  const from = layerOf(file);
  if (from === undefined) {
    problems.push(`${file}: its folder is not in the layer order`);
    continue;
  }
  for (const specifier of importsOf(file)) {
    if (specifier === "koffi" && from !== "sys") problems.push(`${file}: native calls belong in src/sys`);
    if (!specifier.startsWith(".")) continue;
    const target = relative(root, normalize(join(root, dirname(file), specifier)));
    const to = layerOf(target);
    if (to === undefined) problems.push(`${file}: imports ${target}, which is not in the layer order`);
    else if (to !== from && rank.get(to) >= rank.get(from) && !exceptions.has(`${from} -> ${to}`))
      problems.push(`${file}: ${from} may not import ${to} (${target})`);
  }
}

for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log("layers: ok");

function sourceFiles(folder) {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts"))
    .filter((name) => !name.endsWith(".test.ts") && !name.includes("testing/"));
}

function layerOf(file) {
  if (file === "index.ts") return "index";
  const parts = file.split("/");
  const nested = parts.slice(0, 2).join("/");
  return rank.has(nested) ? nested : rank.has(parts[0]) ? parts[0] : undefined;
}

function importsOf(file) {
  const text = readFileSync(join(root, file), "utf8");
  return [...text.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map((match) => match[1]);
}
