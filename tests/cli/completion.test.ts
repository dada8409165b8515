// The completion scripts in real shells, over the fake library.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, before, test } from "node:test";

const program = join(import.meta.dirname, "fake-supermachine.js");
const folder = mkdtempSync(join(tmpdir(), "supermachine-completion-"));
const env = { ...process.env, PATH: `${folder}${delimiter}${process.env["PATH"]}` };
before(() => {
  const command = join(folder, "supermachine");
  writeFileSync(command, `#!/bin/sh\nexec "${process.execPath}" "${program}" "$@"\n`);
  chmodSync(command, 0o755);
  mkdirSync(join(folder, "files"));
  writeFileSync(join(folder, "files", "some file.tar"), "");
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** What bash would put in place of the word at the end of a line, cut into words as bash itself cuts them. */
function bash(line: string): string[] {
  const words: string[] = line.match(/[:=]+|[^\s:=]+/g) ?? [];
  if (/\s$/.test(line)) words.push("");
  const script = `
    source <(supermachine completion bash)
    COMP_LINE=$1 COMP_POINT=\${#1}; shift
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    _supermachine
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const output = execFileSync("bash", ["-c", script, "bash", line, ...words], {
    encoding: "utf8",
    env,
    cwd: join(folder, "files"),
  });
  return output.split("\n").filter((word) => word !== "");
}

test("bash completes commands, options, values, machines and images", () => {
  assert.deepEqual(bash("supermachine im"), ["images", "import"]);
  assert.deepEqual(bash("supermachine run --entr"), ["--entrypoint"]);
  assert.deepEqual(bash("supermachine run --engine "), ["auto", "qemu", "vmm"]);
  assert.deepEqual(bash("supermachine stop "), ["web"]);
  assert.deepEqual(bash("supermachine run -it ghcr"), ["ghcr.io/owner/app:1.2"]);
  assert.deepEqual(bash("supermachine run alpine "), []);
});

test("bash completes words with the colons and equals signs at which it cuts", () => {
  assert.deepEqual(bash("supermachine run ghcr.io/owner/app:1"), ["1.2"]);
  assert.deepEqual(bash("supermachine run --engine=q"), ["qemu"]);
  assert.deepEqual(bash("supermachine run --pull="), ["missing", "always", "never"]);
});

test("bash completes files where files fit, with spaces in their names", () => {
  assert.deepEqual(bash("supermachine import some"), ["some file.tar"]);
  assert.deepEqual(bash("supermachine cp "), ["web:", "some file.tar"]);
  assert.deepEqual(bash("supermachine run oci:so"), ["some file.tar"]);
});

test("bash works without COMP_LINE", () => {
  const script =
    "source <(supermachine completion bash); COMP_WORDS=(supermachine stop ''); COMP_CWORD=2; COMP_LINE=; COMP_POINT=0; _supermachine; echo $COMPREPLY";
  assert.equal(execFileSync("bash", ["-c", script], { encoding: "utf8", env }), "web\n");
});

test("zsh accepts its script", (t) => {
  if (spawnSync("zsh", ["--version"]).error !== undefined) return t.skip("zsh is not installed");
  const script = execFileSync("supermachine", ["completion", "zsh"], { encoding: "utf8", env });
  const { status, stderr } = spawnSync("zsh", ["-n"], { input: script, encoding: "utf8" });
  assert.deepEqual([status, stderr], [0, ""]);
});

test("fish completes, with descriptions", (t) => {
  if (spawnSync("fish", ["--version"]).error !== undefined) return t.skip("fish is not installed");
  const fish = (line: string): string =>
    execFileSync("fish", ["-c", "supermachine completion fish | source; complete -C $argv[1]", line], {
      encoding: "utf8",
      env: { ...env, HOME: folder },
      cwd: join(folder, "files"),
    });
  assert.equal(fish("supermachine stop "), "web\tnginx:latest, running\n");
  assert.equal(fish("supermachine run --engine=q"), "--engine=qemu\n");
  assert.equal(fish("supermachine import so"), "some file.tar\n");
});
