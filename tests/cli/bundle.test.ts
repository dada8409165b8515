// The files that are published: what they hold, and how few of them a command loads.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { after, test } from "node:test";
import { Worker } from "node:worker_threads";
import { checkout } from "../fixtures/images.ts";

const bundle = join(checkout, "dist", "bundle");
const folder = mkdtempSync(join(tmpdir(), "supermachine-bundle-"));
after(() => rmSync(folder, { recursive: true }));

/** Prints, as its last line, the files that a command has loaded. */
const reporter = join(folder, "reporter.cjs");
writeFileSync(
  reporter,
  'process.on("exit", () => console.error("\\n" + JSON.stringify(Object.keys(require.cache))));',
);

function run(...args: string[]): { stdout: string; files: string[] } {
  const home = join(folder, "home");
  const command = ["--require", reporter, join(checkout, "bin", "supermachine"), ...args];
  const { stdout, stderr } = spawnSync(process.execPath, command, {
    encoding: "utf8",
    env: { ...process.env, SUPERMACHINE_HOME: home },
  });
  const files = JSON.parse(stderr.trimEnd().split("\n").at(-1) ?? "") as string[];
  return { stdout, files: files.filter((file) => file !== reporter) };
}

function parts(files: readonly string[]): string[] {
  return files.filter((file) => dirname(file) === bundle).map((file) => basename(file).replace(/-.*/, ""));
}

test("the version is printed without the library", () => {
  const { files } = run("--version");
  assert.ok(files.length <= 6, files.join("\n"));
  for (const part of ["machine", "monitor", "images", "undici"])
    assert.ok(!parts(files).includes(part), part);
});

test("a list of machines is printed without images, engines and native calls", () => {
  const { files } = run("ps");
  assert.ok(files.length <= 12, files.join("\n"));
  for (const part of ["images", "monitor", "run", "undici"]) assert.ok(!parts(files).includes(part), part);
  assert.ok(!files.some((file) => file.includes("koffi")));
});

test("a run loads no registry client, no conversion, and nothing that only fetching a kernel needs", () => {
  const kernel = ["--kernel", join(folder, "no-kernel")];
  const { files } = run("run", "--pull", "never", ...kernel, "example.test/nothing", "true");
  assert.ok(parts(files).includes("run"));
  assert.ok(parts(files).length <= 17, files.join("\n"));
  for (const part of ["pull", "undici", "debian", "host", "convert"])
    assert.ok(!parts(files).includes(part), part);
});

test("the library exports what its source does", async () => {
  const built = Object.keys(await import(join(bundle, "index.js"))).filter((name) => name !== "default");
  assert.deepEqual(built, Object.keys(await import("../../src/index.ts")));
});

test("every module that is loaded by its path is there", async () => {
  const sources = readdirSync(join(checkout, "src"), { recursive: true, encoding: "utf8" });
  const workers = sources.filter((name) => name.endsWith(".worker.ts")).map((name) => basename(name, ".ts"));
  for (const name of [...workers, "monitor-process"]) assert.ok(existsSync(join(bundle, `${name}.js`)), name);

  const worker = new Worker(join(bundle, "convert.worker.js"), { workerData: {} });
  const [message] = (await once(worker, "message")) as [{ kind: string }];
  assert.equal(message.kind, "failed");
});

test("what is compiled is kept in a home that is there, and damage to it does no harm", () => {
  const home = join(folder, "home");
  const compiled = join(home, "compiled");
  rmSync(home, { recursive: true, force: true });
  const first = run("version");
  assert.ok(!existsSync(home));
  mkdirSync(home);
  assert.equal(run("version").stdout, first.stdout);
  const kept = () =>
    readdirSync(compiled, { recursive: true, encoding: "utf8", withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
  assert.ok(kept().length > 0);
  for (const file of kept()) writeFileSync(file, "nothing that V8 has made");
  assert.equal(run("version").stdout, first.stdout);
});
