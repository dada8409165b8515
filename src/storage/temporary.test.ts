import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { test } from "node:test";
import { Home } from "./home.ts";
import { createTemporary, sweepTemporary } from "./temporary.ts";

const temporaryModule = new URL("./temporary.js", import.meta.url).href;
const homeModule = new URL("./home.js", import.meta.url).href;

test("createTemporary() removes a file or a whole folder when disposed, and tolerates that nothing is there", (t) => {
  const home = homeFor(t);
  const file = createTemporary(home, "layer");
  const folder = createTemporary(home, "layer");
  writeFileSync(file.path, "x");
  mkdirSync(join(folder.path, "deep"), { recursive: true });
  file[Symbol.dispose]();
  folder[Symbol.dispose]();
  file[Symbol.dispose]();
  assert.deepEqual(readdirSync(home.temporary), []);
});

test("createTemporary() refuses a prefix that could leave the folder", (t) => {
  assert.throws(() => createTemporary(homeFor(t), "../x"), TypeError);
});

test("sweepTemporary() removes what a killed process left and keeps what a living one is writing", async (t) => {
  const home = homeFor(t);
  using mine = createTemporary(home, "mine");
  writeFileSync(mine.path, "x");
  const script = (then: string) =>
    `const { createTemporary } = await import(${JSON.stringify(temporaryModule)});
     const { Home } = await import(${JSON.stringify(homeModule)});
     const fs = await import("node:fs");
     const { path } = createTemporary(new Home(${JSON.stringify(home.root)}), "theirs");
     fs.writeFileSync(path, "x"); process.stdout.write(path); ${then}`;
  const dead = spawnSync(
    process.execPath,
    ["--input-type=module", "-e", script("process.kill(process.pid, 9)")],
    {
      encoding: "utf8",
    },
  );
  const living = spawn(
    process.execPath,
    ["--input-type=module", "-e", script("setTimeout(() => {}, 60000)")],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  t.after(() => living.kill("SIGKILL"));
  const [livingPath] = await once(living.stdout, "data");

  assert.ok(existsSync(dead.stdout));
  assert.deepEqual(await sweepTemporary(home), [basename(dead.stdout)]);
  assert.ok(existsSync(mine.path));
  assert.ok(existsSync(String(livingPath)));
});

test("sweepTemporary() takes a reused process number for another process", async (t) => {
  const home = homeFor(t);
  using mine = createTemporary(home, "mine");
  const parts = basename(mine.path).split(".");
  const reused = [parts[0], parts[1], parts[2], "1", parts[4]].join(".");
  writeFileSync(join(home.temporary, reused), "x");
  const expected = process.platform === "linux" ? [reused] : [];
  assert.deepEqual(await sweepTemporary(home), expected);
});

test("sweepTemporary() gives owners it cannot look up a day, and never touches foreign names", async (t) => {
  const home = homeFor(t);
  mkdirSync(home.temporary, { recursive: true });
  const fresh = join(home.temporary, "layer.00000000.1.1.000000000000");
  const stale = join(home.temporary, "layer.00000000.1.1.000000000001");
  const foreign = join(home.temporary, "notes.txt");
  for (const path of [fresh, stale, foreign]) writeFileSync(path, "x");
  const longAgo = new Date(Date.now() - 25 * 60 * 60 * 1000);
  for (const path of [stale, foreign]) utimesSync(path, longAgo, longAgo);
  assert.deepEqual(await sweepTemporary(home), [basename(stale)]);
});

test("sweepTemporary() does nothing before the folder exists", async (t) => {
  assert.deepEqual(await sweepTemporary(homeFor(t)), []);
});

function homeFor(t: { after(done: () => void): void }): Home {
  const root = mkdtempSync(join(tmpdir(), "temporary-test-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  return new Home(root);
}
