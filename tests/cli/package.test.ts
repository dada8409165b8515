// What npm would publish, unpacked as npm would install it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { checkout } from "../fixtures/images.ts";

describe("the package", () => {
  const folder = mkdtempSync(join(tmpdir(), "supermachine-package-"));
  const installed = join(folder, "node_modules", "supermachine");
  let files: string[];

  before(() => {
    const pack = ["pack", "--ignore-scripts", "--pack-destination", folder];
    execFileSync("npm", pack, { cwd: checkout, stdio: "ignore" });
    const archive = readdirSync(folder).find((name) => name.endsWith(".tgz"));
    assert.ok(archive !== undefined);
    mkdirSync(installed, { recursive: true });
    execFileSync("tar", ["-xf", join(folder, archive), "-C", installed, "--strip-components=1"]);
    files = readdirSync(installed, { recursive: true, encoding: "utf8" });
    const { dependencies } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8")) as {
      dependencies: Record<string, string>;
    };
    for (const name of Object.keys(dependencies)) {
      mkdirSync(dirname(join(folder, "node_modules", name)), { recursive: true });
      symlinkSync(join(checkout, "node_modules", name), join(folder, "node_modules", name));
    }
  });
  after(() => rmSync(folder, { recursive: true }));

  test("holds what runs and what is read, and no tests", () => {
    for (const needed of [
      "bin/supermachine",
      "dist/bundle/index.js",
      "dist/bundle/LICENSES.md",
      "dist/src/index.d.ts",
      "src/index.ts",
      "guest/agent/main.c",
      "docs/errors.md",
      "LICENSE",
      "SECURITY.md",
    ])
      assert.ok(files.includes(needed), `${needed} is missing`);
    const unwanted = files.filter((name) =>
      /\.test\.|(^|\/)testing(\/|$)|^dist\/(tests|tools)|^dist\/src\/.*\.js|tsbuildinfo/.test(name),
    );
    assert.deepEqual(unwanted, []);
  });

  test("runs as a command", () => {
    const command = join(folder, "node_modules", "supermachine", "bin", "supermachine");
    const env = { ...process.env, SUPERMACHINE_HOME: join(folder, "home") };
    const { version } = JSON.parse(readFileSync(join(checkout, "package.json"), "utf8")) as {
      version: string;
    };
    assert.match(execFileSync(command, ["version"], { env, encoding: "utf8" }), new RegExp(version));
    assert.equal(execFileSync(command, ["images", "--json"], { env, encoding: "utf8" }).trim(), "[]");
  });

  test("can be imported, and its types stand on their own", () => {
    writeFileSync(
      join(folder, "user.mts"),
      'import { Image } from "supermachine";\nconst images: string[] = (await Image.list()).map((image) => image.reference);\nconsole.log(images.length);\n',
    );
    const types = join(checkout, "node_modules", "@types");
    symlinkSync(types, join(folder, "node_modules", "@types"));
    const flags = [
      "--strict",
      "--module",
      "nodenext",
      "--target",
      "es2023",
      "--lib",
      "es2023,esnext.disposable",
    ];
    const compiler = join(checkout, "node_modules", ".bin", "tsc");
    execFileSync(compiler, [...flags, "--types", "node", "user.mts"], {
      cwd: folder,
      stdio: ["ignore", 2, 2],
    });
    const env = { ...process.env, SUPERMACHINE_HOME: join(folder, "home") };
    const output = execFileSync(process.execPath, ["user.mjs"], { cwd: folder, env, encoding: "utf8" });
    assert.equal(output, "0\n");
  });
});
