import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { DirectoryEntry, FileStat } from "../agent/requests.ts";
import { copyOut } from "./host-copy.ts";
import type { MachineFiles } from "./machine-files.ts";
import { TemporaryHome } from "./testing/temporary-home.ts";

const plain = { size: 4, mode: 0o6755, uid: 0, gid: 0, mtimeMs: 0 };
const folder: FileStat = { ...plain, type: "directory" };
const file = (name: string): DirectoryEntry => ({ ...plain, name, type: "file" });
const link = (name: string, target: string): DirectoryEntry => ({ ...plain, name, type: "symlink", target });

/** A guest that answers whatever the test wants. */
function guest(list: (path: string) => DirectoryEntry[]): MachineFiles {
  return {
    stat: async () => folder,
    list: async (path: string) => list(path),
    readStream: async function* () {
      yield Buffer.from("evil");
    },
  } as unknown as MachineFiles;
}

test("copyOut() refuses names that would leave the folder", async () => {
  for (const name of ["..", ".", "", "a/b", "/etc/x", "a\0b"]) {
    using home = new TemporaryHome();
    await assert.rejects(
      copyOut(
        guest(() => [file(name)]),
        "/x",
        join(home.root, "out"),
      ),
      {
        code: "AGENT_PROTOCOL",
      },
    );
  }
});

test("copyOut() does not write through a link, neither the guest's nor one that was there", async () => {
  using home = new TemporaryHome();
  const outside = join(home.root, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "kept"), "kept");
  const target = join(home.root, "out");
  mkdirSync(join(target, "x"), { recursive: true });
  symlinkSync(outside, join(target, "x", "folder"));
  symlinkSync(join(outside, "kept"), join(target, "x", "file"));
  const asFolder = guest((path) => (path === "/x" ? [{ ...folder, name: "folder" }] : [file("kept")]));
  await assert.rejects(copyOut(asFolder, "/x", target), { code: "INVALID_ARGUMENT" });
  await assert.rejects(
    copyOut(
      guest(() => [file("file")]),
      "/x",
      target,
    ),
    { code: "INVALID_ARGUMENT" },
  );
  const twice = guest((path) =>
    path === "/x" ? [link("new", outside), { ...folder, name: "new" }] : [file("kept")],
  );
  await copyOut(twice, "/x", target).then(undefined, () => {});
  assert.equal(readFileSync(join(outside, "kept"), "utf8"), "kept");
});

test("copyOut() keeps links as they are and drops set-id bits", async () => {
  using home = new TemporaryHome();
  const target = join(home.root, "out");
  await copyOut(
    guest(() => [link("up", "../../etc/passwd"), file("tool")]),
    "/x",
    target,
  );
  assert.equal(readlinkSync(join(target, "up")), "../../etc/passwd");
  const { statSync } = await import("node:fs");
  assert.equal(statSync(join(target, "tool")).mode & 0o7777, 0o755);
});

test("copyOut() ends when a guest invents folders without end", async () => {
  using home = new TemporaryHome();
  const endless = guest(() => [{ ...folder, name: "d" }]);
  await assert.rejects(copyOut(endless, "/x", join(home.root, "out")), { code: "FILE_ERROR" });
  assert.ok(existsSync(home.root));
});
