#!/usr/bin/env node
// Runs compiled tests by level and says at the end which levels ran and why tests were skipped.
// usage: tools/run-tests.mjs [--only TEXT] LEVEL...
import { execFileSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";

/** Folders of compiled tests; `concurrency` is how many files run at once, `timeoutMs` the limit of one test. */
const levels = {
  unit: { folders: ["dist/src", "dist/tools"], concurrency: 2, timeoutMs: 60_000 },
  tools: {
    folders: [
      "dist/tests/rootfs",
      "dist/tests/snapshot",
      "dist/tests/image",
      "dist/tests/agent",
      "dist/tests/cli",
      "dist/tests/docs",
    ],
    concurrency: 2,
    timeoutMs: 300_000,
  },
  conformance: { folders: ["dist/tests/conformance"], concurrency: 1, timeoutMs: 60_000 },
  fuzz: { folders: ["dist/tests/fuzz"], concurrency: 2, timeoutMs: 300_000 },
  engine: { folders: ["dist/tests/engine"], concurrency: 1, timeoutMs: 300_000 },
  // Under software emulation a guest now and then stops before its first word, about once in several hundred boots. A file
  // that failed gets a second try, and the summary says so.
  e2e: { folders: ["dist/tests/e2e"], concurrency: 1, timeoutMs: 600_000, secondTry: true },
};

const root = join(import.meta.dirname, "..");
const { names, only } = parseArguments(process.argv.slice(2));
const totals = { passed: 0, failed: 0, skipped: 0 };
const summary = [];

renewBundle();

for (const name of names) summary.push(await runLevel(name));

console.log("\nlevels:");
for (const line of summary) console.log(`  ${line}`);
console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exit(totals.failed > 0 || totals.passed === 0 ? 1 : 0);

async function runLevel(name) {
  const level = levels[name];
  const files = level.folders.flatMap((folder) => testFiles(join(root, folder)));
  const wanted = files.filter((file) => only === undefined || file.includes(only));
  if (wanted.length === 0) return `${name}: no test files`;
  console.log(`\n== ${name} (${wanted.length} files)`);
  const started = performance.now();
  const { counts, reasons, failedFiles } = await runFiles(wanted, level);
  const again = level.secondTry === true ? [...failedFiles] : [];
  let flaky = "";
  if (again.length > 0) {
    console.log(`\n== ${name}: once more, what failed`);
    const second = await runFiles(again, level);
    if (second.counts.failed === 0) {
      counts.passed += counts.failed;
      counts.failed = 0;
      flaky = again.map((file) => `\n      failed, and passed the second time: ${basename(file)}`).join("");
    }
  }
  for (const key of Object.keys(totals)) totals[key] += counts[key];
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const skips = [...reasons].map((reason) => `\n      skipped: ${reason}`).join("");
  const { passed, failed, skipped } = counts;
  return `${name}: ${passed} passed, ${failed} failed, ${skipped} skipped in ${seconds} s${skips}${flaky}`;
}

async function runFiles(wanted, level) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const reasons = new Set();
  const failedFiles = new Set();
  const events = run({ files: wanted, concurrency: level.concurrency, timeout: level.timeoutMs });
  events.on("test:pass", (event) => {
    // A suite that is skipped does not report its tests.
    if (isGroup(event, wanted) && event.skip === undefined) return;
    if (event.skip === undefined) counts.passed++;
    else {
      counts.skipped++;
      reasons.add(typeof event.skip === "string" && event.skip !== "" ? event.skip : "no reason given");
    }
  });
  events.on("test:fail", (event) => {
    const file = wanted.find((each) => each === event.file || each === event.name);
    if (file !== undefined) failedFiles.add(file);
    // A group fails with its tests, but a file may also fail outside of them.
    if (!isGroup(event, wanted) || event.details.error?.failureType !== "subtestsFailed") counts.failed++;
  });
  for await (const chunk of events.compose(new spec())) process.stdout.write(chunk);
  return { counts, reasons, failedFiles };
}

/** Some tests run what is published; it must not be older than what the compiler has made for the others. */
function renewBundle() {
  const timeOf = (file) => statSync(join(root, "dist", file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (timeOf("host.tsbuildinfo") <= timeOf("bundle") && timeOf("pure.tsbuildinfo") <= timeOf("bundle"))
    return;
  execFileSync(process.execPath, [join(root, "tools", "build-bundle.mjs")], { stdio: "inherit" });
}

/** Suites, and each file, are themselves reported as tests; they are not counted. */
function isGroup(event, files) {
  return event.details.type === "suite" || (event.nesting === 0 && files.includes(event.name));
}

function testFiles(folder) {
  try {
    return readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".test.js"))
      .map((file) => join(folder, file))
      .sort();
  } catch {
    return [];
  }
}

function parseArguments(args) {
  const at = args.indexOf("--only");
  const filter = at === -1 ? undefined : args.splice(at, 2)[1];
  for (const name of args) {
    if (Object.hasOwn(levels, name)) continue;
    console.error(`run-tests: no level '${name}'; there are: ${Object.keys(levels).join(", ")}`);
    process.exit(2);
  }
  return { names: args.length > 0 ? args : Object.keys(levels), only: filter };
}
