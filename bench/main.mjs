// Runs the subjects asked for, one after the other, and reports them with the machine's own yardstick: one N is the
// median of `node -e 0`, start to exit, in the same run.
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { measureBoot } from "./boot.mjs";
import { measureConversion } from "./convert.mjs";
import { usableEngines } from "./engines.mjs";
import { measureExec } from "./exec.mjs";
import { measureExits } from "./exits.mjs";
import { measureFiles } from "./files.mjs";
import { prepareHome } from "./home.mjs";
import { measureMemory } from "./memory.mjs";
import { measurePause } from "./pause.mjs";
import { measurePool } from "./pool.mjs";
import { measureRestore } from "./restore.mjs";
import { measureN } from "./sample.mjs";
import { measureStart } from "./start.mjs";

const subjects = {
  convert: measureConversion,
  exits: measureExits,
  restore: measureRestore,
  pause: measurePause,
  boot: measureBoot,
  start: measureStart,
  exec: measureExec,
  files: measureFiles,
  pool: measurePool,
  memory: measureMemory,
};

const usage = `usage: bench/run [--json] [--engine NAME] [SUBJECT...]
subjects: ${Object.keys(subjects).join(" ")}; without any, all of them`;
const { values, positionals } = readArguments();
if (values.help) {
  console.log(`${usage}

Measures and prints a table; the raw numbers go to bench/results/latest.json. Every usable engine is measured.

  bench/run restore pause            what needs no Linux guest
  testhost/run -- bench/run start    on a real KVM, in the test host`);
  process.exit(0);
}
const names = positionals.length > 0 ? positionals : Object.keys(subjects);
for (const name of names)
  if (!Object.hasOwn(subjects, name)) {
    console.error(`bench: no subject '${name}'; there are: ${Object.keys(subjects).join(", ")}`);
    process.exit(2);
  }

// Node reads this file of certificates before anything else, which doubles the time that it takes to start.
delete process.env.NODE_EXTRA_CA_CERTS;
prepareHome();
const { engines, notes } = await usableEngines(values.engine);
const nMs = measureN();
const results = [];
for (const name of names) {
  console.error(`measuring ${name} ...`);
  try {
    results.push(...(await subjects[name]({ engines })));
  } catch (error) {
    // The other subjects are worth their time all the same.
    console.error(`bench: ${name} failed: ${error.stack ?? error}`);
    results.push({ what: name, skipped: error.message });
    process.exitCode = 1;
  }
}

const report = {
  date: new Date().toISOString(),
  node: process.version,
  cpu: cpus()[0]?.model,
  cpus: cpus().length,
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  nMs,
  notes,
  results,
};
const folder = join(import.meta.dirname, "results");
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "latest.json"), `${JSON.stringify(report, null, 2)}\n`);
if (values.json) console.log(JSON.stringify(report, null, 2));
else printTable(report);

function readArguments() {
  const options = {
    json: { type: "boolean" },
    engine: { type: "string" },
    help: { type: "boolean", short: "h" },
  };
  try {
    return parseArgs({ options, allowPositionals: true });
  } catch (error) {
    console.error(`bench: ${error.message}\n${usage}`);
    process.exit(2);
  }
}

function printTable({ results, notes, nMs }) {
  const skipped = results.filter((row) => row.skipped !== undefined);
  const measured = results.filter((row) => row.skipped === undefined);
  const rows = measured.map(({ what, value, unit, ratio, against }) => [
    what,
    `${format(value)} ${unit}`,
    unit === "ms" ? `${format(value / nMs)} N` : "",
    ratio === undefined ? "" : `${format(ratio)} x ${against}`,
  ]);
  const all = [["what", "value", "in N", "compared"], ...rows];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => row[column].length)));
  console.log(`one N = ${format(nMs)} ms\n`);
  for (const row of all) {
    const cells = row.map((cell, column) => cell.padEnd(widths[column]));
    console.log(cells.join("  ").trimEnd());
  }
  for (const { what, skipped: reason } of skipped) console.log(`skipped: ${what}: ${reason}`);
  for (const note of notes) console.log(`note: ${note}`);
}

function format(number) {
  return number >= 100 ? number.toFixed(0) : number.toPrecision(3);
}
