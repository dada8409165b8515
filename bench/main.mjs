// Runs the subjects asked for, one after the other, and reports them with the machine's own yardstick: one N is the
// median of `node -e 0`, start to exit, in the same run.
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { measureBoot } from "./boot.mjs";
import { measureConversion } from "./convert.mjs";
import { measureExec } from "./exec.mjs";
import { measureFiles } from "./files.mjs";
import { measureN } from "./sample.mjs";

const subjects = { convert: measureConversion, boot: measureBoot, exec: measureExec, files: measureFiles };

const { values, positionals } = parseArgs({
  options: { json: { type: "boolean" }, engine: { type: "string", default: "auto" } },
  allowPositionals: true,
});
const names = positionals.length > 0 ? positionals : Object.keys(subjects);
for (const name of names)
  if (!Object.hasOwn(subjects, name)) {
    console.error(`bench: no subject '${name}'; there are: ${Object.keys(subjects).join(", ")}`);
    process.exit(2);
  }

const nMs = measureN();
const results = [];
for (const name of names) {
  console.error(`measuring ${name} ...`);
  results.push(...(await subjects[name]({ engine: values.engine, nMs })));
}

const report = {
  date: new Date().toISOString(),
  node: process.version,
  cpu: cpus()[0]?.model,
  cpus: cpus().length,
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  nMs,
  results,
};
const folder = join(import.meta.dirname, "results");
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "latest.json"), `${JSON.stringify(report, null, 2)}\n`);
if (values.json) console.log(JSON.stringify(report, null, 2));
else printTable(report);

function printTable({ results, nMs }) {
  const rows = results.map(({ what, value, unit, ratio, against }) => [
    what,
    `${format(value)} ${unit}`,
    unit === "ms" ? `${format(value / nMs)} N` : "",
    ratio === undefined ? "" : `${format(ratio)} x ${against}`,
  ]);
  const all = [["what", "value", "in N", "compared"], ...rows];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => row[column].length)));
  console.log(`one N = ${format(nMs)} ms\n`);
  for (const row of all)
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column]))
        .join("  ")
        .trimEnd(),
    );
}

function format(number) {
  return number >= 100 ? number.toFixed(0) : number.toPrecision(3);
}
