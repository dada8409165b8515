import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { compileExamples, documentedExamples, type Example } from "../docs/examples.ts";
import { testImage } from "../fixtures/images.ts";
import { finished, TestHome } from "./cli.ts";
import { noSnapshots } from "./snapshot-support.ts";

const examples = await documentedExamples();
const separator = "\u0000 end of an example \u0000\n";

describe("an example of the documentation runs, and prints what its comments say", () => {
  const folder = mkdtempSync(join(tmpdir(), "supermachine-examples-"));
  let home: TestHome;
  let fragments: Map<string, string>;
  before(async () => {
    home = new TestHome();
    await prepareStore(home, folder);
    assert.equal(await compileExamples(examples, folder), "");
    fragments = await runFragments(folder);
  });
  after(async () => {
    await home[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  for (const example of examples)
    test(example.where, { skip: usesSnapshots(example) && noSnapshots }, async () => {
      const output =
        example.kind === "program" ? await runProgram(example, folder) : fragments.get(example.module);
      assert.ok(output !== undefined, "it has not run");
      let rest = output.replace(/\s+/g, " ");
      for (const expected of example.prints) {
        const at = rest.indexOf(expected);
        assert.notEqual(at, -1, `'${expected}' is not in its output: ${output}`);
        rest = rest.slice(at + expected.length);
      }
    });
});

/** What only an engine with snapshots can do. */
function usesSnapshots({ code, kind }: Example): boolean {
  return kind === "program" && /\.(snapshot|fork|reset|limitMemory)\(|Image\.prepare\(/.test(code);
}

/** Gives the store the images that the examples name, and the folder the files that they name. */
async function prepareStore(home: TestHome, folder: string): Promise<void> {
  const { dockerArchive, layout } = testImage("busybox");
  const other = join(folder, "alpine.tar");
  execFileSync("skopeo", ["copy", "-q", layout, `docker-archive:${other}:alpine:latest`]);
  for (const archive of [dockerArchive, other]) {
    const { code, stderr } = await home.run(["pull", "-q", `docker-archive:${archive}`]);
    assert.equal(code, 0, stderr);
  }
  const root = join(folder, "root");
  execFileSync("mkdir", ["-p", join(root, "bin")]);
  cpSync("/bin/busybox", join(root, "bin", "busybox"));
  execFileSync("tar", ["-C", root, "-cf", join(folder, "rootfs.tar"), "."]);
  writeFileSync(join(folder, "package.json"), "{}");
}

async function runProgram(example: Example, folder: string): Promise<string> {
  const { code, stdout, stderr } = await node(`${example.module}.mjs`, folder);
  assert.equal(code, 0, stderr);
  return stdout;
}

/** All of them in one program with one machine; what each has printed, by module. */
async function runFragments(folder: string): Promise<Map<string, string>> {
  const modules = examples.filter(({ kind }) => kind === "fragment").map(({ module }) => module);
  writeFileSync(
    join(folder, "fragments.mjs"),
    `import { Machine } from "supermachine";
const machine = await Machine.create("busybox");
try {
  for (const name of ${JSON.stringify(modules)}) {
    await (await import("./" + name + ".mjs")).default(machine).catch((error) => console.log("failed:", name, error));
    process.stdout.write(${JSON.stringify(separator)});
  }
} finally {
  await machine.remove({ force: true });
}
`,
  );
  const { code, stdout, stderr } = await node("fragments.mjs", folder);
  assert.equal(code, 0, stderr + stdout);
  assert.doesNotMatch(stdout, /^failed:/m);
  const outputs = stdout.split(separator);
  return new Map(modules.map((module, index) => [module, outputs[index] ?? ""]));
}

/** Runs a file of the folder; the store is found by the environment, which TestHome has set. */
async function node(
  file: string,
  folder: string,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return await finished(
    spawn(process.execPath, [file], { cwd: folder, stdio: ["ignore", "pipe", "pipe"], timeout: 180_000 }),
  );
}
