import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { loadKoffi } from "./load-koffi.ts";

const folder = mkdtempSync(join(tmpdir(), "supermachine-koffi-"));
after(() => rmSync(folder, { recursive: true }));
const require = createRequire(import.meta.url);
const { version } = require("koffi") as typeof import("koffi");
/** Where the real binaries are installed. */
const binaries = join(dirname(require.resolve("koffi")), "..", "@koromix");
const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
const skip = header.glibcVersionRuntime === undefined && "koffi's own loader is used here";

test("loadKoffi() gives what koffi's own loader gives", () => {
  const koffi = loadKoffi();
  assert.equal(koffi.version, version);
  assert.equal(koffi.load(null).func("int getpid()")(), process.pid);
});

test("loadKoffi() finds the binary beneath koffi", { skip }, () => {
  const from = install("nested", { version });
  mkdirSync(join(folder, "nested/node_modules/koffi/node_modules"));
  symlinkSync(binaries, join(folder, "nested/node_modules/koffi/node_modules/@koromix"));
  assert.equal(loadKoffi(from).version, version);
});

test("loadKoffi() finds the binary beside koffi, which may be a link", { skip }, () => {
  install("store", { version });
  symlinkSync(binaries, join(folder, "store/node_modules/@koromix"));
  mkdirSync(join(folder, "linked/node_modules"), { recursive: true });
  symlinkSync(join(folder, "store/node_modules/koffi"), join(folder, "linked/node_modules/koffi"));
  assert.equal(loadKoffi(join(folder, "linked/module.js")).version, version);
});

test("loadKoffi() leaves it to koffi where the binary is of another version", () => {
  const from = install("other", { version: "0.0.1" });
  mkdirSync(join(folder, "other/node_modules/koffi/node_modules"));
  symlinkSync(binaries, join(folder, "other/node_modules/koffi/node_modules/@koromix"));
  assert.deepEqual(loadKoffi(from), { own: true });
});

test("loadKoffi() leaves it to koffi where there is no binary", () => {
  const from = install("none", { version });
  assert.deepEqual(loadKoffi(from), { own: true });
});

test("loadKoffi() leaves it to koffi where the binary is damaged", () => {
  const from = install("damaged", { version });
  for (const arch of ["x64", "arm64"]) {
    const place = join(folder, `damaged/node_modules/@koromix/koffi-linux-${arch}/linux_${arch}`);
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, "koffi.node"), "no library");
  }
  assert.deepEqual(loadKoffi(from), { own: true });
});

/** A package of this name, whose own code says that it was run, for a module beside it. Returns that module's path. */
function install(name: string, manifest: { version: string }): string {
  const koffi = join(folder, name, "node_modules/koffi");
  mkdirSync(koffi, { recursive: true });
  writeFileSync(
    join(koffi, "package.json"),
    JSON.stringify({ name: "koffi", main: "index.js", ...manifest }),
  );
  writeFileSync(join(koffi, "index.js"), "module.exports = { own: true };");
  return join(folder, name, "module.js");
}
