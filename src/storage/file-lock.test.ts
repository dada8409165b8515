import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs, { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { acquireFileLock, type FileLock } from "./file-lock.ts";
import { Home } from "./home.ts";

const lockModule = new URL("./file-lock.js", import.meta.url).href;
const homeModule = new URL("./home.js", import.meta.url).href;

test("one of many holds the lock at a time, and all get it", async (t) => {
  const { home, place } = placeFor(t);
  let holders = 0;
  let most = 0;
  let served = 0;
  const contender = async (): Promise<void> => {
    // Numbers start anew whenever nobody is there, which is when a slow contender can be mistaken.
    for (let round = 0; round < 12; round++) {
      await using _lock = await acquireFileLock(home, place);
      most = Math.max(most, ++holders);
      await delay(0);
      holders--;
      served++;
    }
  };
  await Promise.all(Array.from({ length: 6 }, contender));
  assert.deepEqual([most, served], [1, 72]);
  assert.deepEqual(readdirSync(place.folder), []);
});

test("who was slow to take a number that has become free again does not pass by the holder", async (t) => {
  const { home, place } = placeFor(t);
  const { link } = fs.promises;
  t.after(() => replaceLink(link));
  const held: FileLock[] = [];
  // Between the slow one's choice of number 1 and its ticket, two others come, and the first of them goes.
  const slowLink: typeof link = async (...paths) => {
    replaceLink(link);
    await using first = await acquireFileLock(home, place);
    const second = acquireFileLock(home, place);
    while (readdirSync(place.folder).length < 2) await delay(1);
    await first[Symbol.asyncDispose]();
    held.push(await second);
    await link(...paths);
  };
  replaceLink(slowLink);
  let slowHolds = false;
  const slow = acquireFileLock(home, place).then((lock) => {
    slowHolds = true;
    return lock;
  });
  while (held.length === 0) await delay(1);
  await delay(60);
  assert.equal(slowHolds, false);
  await held[0]?.[Symbol.asyncDispose]();
  await (await slow)[Symbol.asyncDispose]();
});

/** Makes this the `link` that every module uses. */
function replaceLink(link: typeof fs.promises.link): void {
  fs.promises.link = link;
  syncBuiltinESMExports();
}

test("locks of other names do not wait for each other", async (t) => {
  const { home, place } = placeFor(t);
  await using _one = await acquireFileLock(home, place);
  await using _other = await acquireFileLock(home, { ...place, name: `${place.name}.2` });
  assert.equal(readdirSync(place.folder).length, 2);
});

test("an abort ends the wait with ABORTED and leaves the lock to its holder", async (t) => {
  const { home, place } = placeFor(t);
  await using _held = await acquireFileLock(home, place);
  await assert.rejects(
    acquireFileLock(home, place, { signal: AbortSignal.timeout(40) }),
    (error) => error instanceof Error && "code" in error && error.code === "ABORTED",
  );
  assert.equal(readdirSync(place.folder).length, 1);
});

test("what a killed holder and a killed waiter leave does not stop anyone", async (t) => {
  const { home, place } = placeFor(t);
  const script = `
    const { acquireFileLock } = await import(${JSON.stringify(lockModule)});
    const { Home } = await import(${JSON.stringify(homeModule)});
    const home = new Home(${JSON.stringify(home.root)});
    await acquireFileLock(home, ${JSON.stringify(place)});
    acquireFileLock(home, ${JSON.stringify(place)});
    setTimeout(() => process.stdout.write("held"), 100);
    setTimeout(() => {}, 60000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  await once(child.stdout, "data");
  assert.equal(readdirSync(place.folder).length, 2);
  await assert.rejects(acquireFileLock(home, place, { signal: AbortSignal.timeout(60) }));
  child.kill("SIGKILL");
  await once(child, "exit");
  await using _lock = await acquireFileLock(home, place);
  assert.equal(readdirSync(place.folder).length, 1);
});

test("a ticket that cannot be read is nobody's, and foreign files stay", async (t) => {
  const { home, place } = placeFor(t);
  mkdirSync(place.folder);
  writeFileSync(join(place.folder, `${place.name}.7`), "?");
  writeFileSync(join(place.folder, "notes.txt"), "");
  await using _lock = await acquireFileLock(home, place);
  assert.deepEqual(readdirSync(place.folder).sort(), [`${place.name}.8`, "notes.txt"].sort());
});

function placeFor(t: { after(done: () => void): void }): {
  home: Home;
  place: { folder: string; name: string };
} {
  const root = mkdtempSync(join(tmpdir(), "lock-test-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  return { home: new Home(root), place: { folder: join(root, "locks"), name: "thing" } };
}
