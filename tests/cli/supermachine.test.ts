// bin/supermachine itself, as far as it needs no guest.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";

const checkout = join(import.meta.dirname, "..", "..", "..");
const bin = join(checkout, "bin", "supermachine");
const home = mkdtempSync(join(tmpdir(), "supermachine-cli-"));
after(() => rmSync(home, { recursive: true, force: true }));

function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, SUPERMACHINE_HOME: home };
  const { status, stdout, stderr } = spawnSync(bin, args, { encoding: "utf8", env, timeout: 30_000 });
  return { status, stdout, stderr };
}

test("version is that of the package", () => {
  const { version } = JSON.parse(readFileSync(join(checkout, "package.json"), "utf8"));
  assert.ok(run("version").stdout.startsWith(`supermachine ${version} (Node `));
  assert.equal(run("--version").stdout, `${version}\n`);
  assert.equal(JSON.parse(run("version", "--json").stdout).version, version);
});

test("version loads nothing of the library", () => {
  const script = `
    const { runProcess } = await import(${JSON.stringify(join(checkout, "dist/src/cli/run-process.js"))});
    await runProcess(["version"], { loadLibrary: async () => { throw new Error("loaded") } });`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^supermachine /);
});

test("lists of an empty home are empty", () => {
  assert.match(run("ps").stdout, /^ID +IMAGE +COMMAND +CREATED +STATUS +PORTS +NAME\n$/);
  assert.equal(run("ps", "-a", "--json").stdout, "[]\n");
  assert.equal(run("images", "--json").stdout, "[]\n");
  assert.equal(run("images", "-q").stdout, "");
  assert.equal(run("snapshots", "ls", "-a", "--json").stdout, "[]\n");
  assert.equal(run("stats", "--json").stdout, "[]\n");
});

test("what does not exist is named in one line, with the right exit code", () => {
  const cases: [string[], number, RegExp][] = [
    [["run", "UPPER/Case", "true"], 125, /UPPER\/Case/],
    [["run", "--pull", "never", "no/such:image", "true"], 125, /no\/such:image/],
    [["run", "-m", "lots", "alpine"], 125, /lots/],
    [["run", "-p", "http", "alpine"], 125, /http/],
    [["run", "--name", "-bad-", "alpine"], 125, /name/],
    [["exec", "gone", "true"], 125, /gone/],
    [["logs", "gone"], 1, /gone/],
    [["restore", "gone"], 125, /gone/],
    [["snapshots", "rm", "gone"], 1, /gone/],
    [["snapshots", "nope"], 125, /nope/],
    [["stop", "gone"], 1, /gone/],
    [["rm", "gone"], 1, /gone/],
    [["rmi", "gone"], 1, /gone/],
    [["inspect", "gone"], 1, /gone/],
    [["cp", "gone:/x", "."], 1, /gone/],
    [["import", "/nowhere/x.tar", "x"], 1, /\/nowhere\/x\.tar/],
  ];
  for (const [args, status, pattern] of cases) {
    const result = run(...args);
    assert.equal(result.status, status, `${args.join(" ")}: ${result.stderr}`);
    assert.match(result.stderr, pattern);
    assert.match(result.stderr, /^supermachine: [^\n]+\n( {2}hint: [^\n]+\n)?$/, args.join(" "));
    assert.doesNotMatch(result.stderr, /Internal error/);
  }
});

test("doctor answers, for people and for programs, with the same verdict", () => {
  const people = run("doctor");
  const programs = run("doctor", "--json");
  assert.equal(people.status, programs.status);
  const diagnosis = JSON.parse(programs.stdout);
  assert.equal(programs.status, diagnosis.ok ? 0 : 1);
  for (const { name, detail } of diagnosis.checks) assert.ok(people.stdout.includes(name) && detail !== "");
});

test("a checkout that is not built says so, also through a link", () => {
  const copy = join(home, "checkout");
  mkdirSync(copy, { recursive: true });
  writeFileSync(join(copy, "package.json"), '{"type":"module"}');
  cpSync(dirname(bin), join(copy, "bin"), { recursive: true });
  symlinkSync(join(copy, "bin", "supermachine"), join(home, "link"));
  const { status, stderr } = spawnSync(process.execPath, [join(home, "link")], { encoding: "utf8" });
  assert.equal(status, 125);
  assert.equal(
    stderr,
    "supermachine: This checkout is not built yet\n  hint: Run 'npm ci && npm run build' in it\n",
  );
});

test("output that nobody reads is no error", () => {
  const output = execFileSync("bash", ["-c", `"$0" --help | head -n 1; echo "\${PIPESTATUS[0]}"`, bin], {
    encoding: "utf8",
  });
  assert.match(output, /^Usage: supermachine COMMAND \[options\]\n(0|141)\n$/);
});
