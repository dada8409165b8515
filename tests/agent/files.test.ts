import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { collect, type ServedAgent, serveAgent, whyNot } from "./serve-agent.ts";

const skip = whyNot() ?? false;
let served: ServedAgent;
before(async () => {
  if (skip === false) served = await serveAgent();
});
after(async () => {
  if (skip === false) await served[Symbol.asyncDispose]();
});

async function* content(...pieces: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield typeof piece === "string" ? Buffer.from(piece) : piece;
}

test("a file is written, appended to and read back, whole and in part", { skip }, async () => {
  const { agent } = served;
  await agent.writeFile("/tmp/a", content("hello ", "world"));
  await agent.writeFile("/tmp/a", content("!"), { append: true });
  assert.equal((await collect(agent.readFile("/tmp/a"))).toString(), "hello world!");
  assert.equal((await collect(agent.readFile("/tmp/a", { offset: 6, length: 5 }))).toString(), "world");
  assert.equal((await collect(agent.readFile("/tmp/a", { offset: 100 }))).toString(), "");
});

test("32 MiB pass through a file unchanged", { skip, timeout: 30_000 }, async () => {
  const bytes = randomBytes(32 << 20);
  await served.agent.writeFile("/tmp/big", content(bytes));
  const hash = createHash("sha256");
  for await (const piece of served.agent.readFile("/tmp/big")) hash.update(piece);
  assert.equal(hash.digest("hex"), createHash("sha256").update(bytes).digest("hex"));
});

test("an empty file can be written", { skip }, async () => {
  await served.agent.writeFile("/tmp/empty", content());
  assert.equal((await served.agent.stat("/tmp/empty")).size, 0);
});

test("a file that is replaced keeps its mode and owner, and is never seen half written", {
  skip,
}, async () => {
  const { agent } = served;
  await agent.writeFile("/tmp/keep", content("old"), { mode: 0o640 });
  await agent.chown("/tmp/keep", 12, 34);
  let during = "";
  await agent.writeFile(
    "/tmp/keep",
    (async function* () {
      yield Buffer.from("ne");
      await sleep(50);
      during = (await collect(agent.readFile("/tmp/keep"))).toString();
      yield Buffer.from("w");
    })(),
  );
  assert.equal(during, "old");
  assert.equal((await collect(agent.readFile("/tmp/keep"))).toString(), "new");
  const { mode, uid, gid } = await agent.stat("/tmp/keep");
  assert.deepEqual([mode, uid, gid], [0o640, 12, 34]);
});

test("an upload that breaks off leaves the old file and nothing else", { skip }, async () => {
  const { agent } = served;
  await agent.mkdir("/tmp/partial");
  await agent.writeFile("/tmp/partial/f", content("old"));
  const broken = (async function* () {
    yield Buffer.from("new");
    await sleep(50);
    throw new Error("the source failed");
  })();
  await assert.rejects(agent.writeFile("/tmp/partial/f", broken), /the source failed/);
  await sleep(100);
  assert.deepEqual(
    (await agent.list("/tmp/partial")).map((entry) => entry.name),
    ["f"],
  );
  assert.equal((await collect(agent.readFile("/tmp/partial/f"))).toString(), "old");
});

test("writing goes through a symbolic link to its file", { skip }, async () => {
  const { agent } = served;
  await agent.writeFile("/tmp/behind", content("1"));
  await agent.symlink("behind", "/tmp/link");
  await agent.writeFile("/tmp/link", content("2"));
  assert.equal((await collect(agent.readFile("/tmp/behind"))).toString(), "2");
  assert.equal((await agent.stat("/tmp/link", { followSymlinks: false })).type, "symlink");
  assert.equal((await agent.stat("/tmp/link", { followSymlinks: false })).target, "behind");
});

test("errors carry the guest's errno", { skip }, async () => {
  const { agent } = served;
  const errno = (promise: Promise<unknown>) =>
    promise.then(
      () => assert.fail("it did not fail"),
      (error) => {
        assert.equal(error.code, "FILE_ERROR");
        return error.data.errno;
      },
    );
  assert.equal(await errno(collect(agent.readFile("/nope"))), "ENOENT");
  assert.equal(await errno(collect(agent.readFile("/tmp"))), "EISDIR");
  assert.equal(await errno(agent.writeFile("/nope/x", content("1"))), "ENOENT");
  assert.equal(await errno(agent.writeFile("/tmp", content("1"))), "EISDIR");
  assert.equal(await errno(agent.list("/etc/passwd")), "ENOTDIR");
  assert.equal(await errno(agent.mkdir("/tmp")), "EEXIST");
  assert.equal(await errno(agent.remove("/bin")), "ENOTEMPTY");
  assert.equal(await errno(agent.remove("/nope")), "ENOENT");
  assert.equal(await errno(agent.rename("/nope", "/tmp/y")), "ENOENT");
  await agent.remove("/nope", { force: true });
});

test("list() gives names and what they are", { skip }, async () => {
  const { agent } = served;
  await agent.mkdir("/tmp/list/inner", { parents: true });
  await agent.writeFile("/tmp/list/f", content("12345"), { mode: 0o600 });
  await agent.symlink("f", "/tmp/list/l");
  const entries = (await agent.list("/tmp/list")).sort((a, b) => (a.name < b.name ? -1 : 1));
  assert.deepEqual(
    entries.map(({ name, type, target }) => ({ name, type, target })),
    [
      { name: "f", type: "file", target: undefined },
      { name: "inner", type: "directory", target: undefined },
      { name: "l", type: "symlink", target: "f" },
    ],
  );
  assert.equal(entries[0]?.size, 5);
  assert.equal(entries[0]?.mode, 0o600);
});

test("a listing that needs several frames is whole", { skip }, async () => {
  const folder = join(served.root, "tmp/many");
  mkdirSync(folder);
  for (let i = 0; i < 500; i++) writeFileSync(join(folder, `${"n".repeat(230)}-${i}`), "");
  assert.equal((await served.agent.list("/tmp/many")).length, 500);
  await served.agent.remove("/tmp/many", { recursive: true });
});

test("remove() takes a tree, and links in it but not their targets", { skip }, async () => {
  const { agent } = served;
  await agent.mkdir("/tmp/tree/a/b/c", { parents: true });
  await agent.writeFile("/tmp/precious", content("x"));
  await agent.symlink("/tmp/precious", "/tmp/tree/a/l");
  await agent.symlink("/tmp", "/tmp/tree/a/d");
  await agent.remove("/tmp/tree", { recursive: true });
  await assert.rejects(agent.stat("/tmp/tree"), { data: { errno: "ENOENT" } });
  assert.equal((await agent.stat("/tmp/precious")).size, 1);
});

test("mkdir(), chmod() and modification times", { skip }, async () => {
  const { agent } = served;
  await agent.mkdir("/tmp/d1", { mode: 0o750 });
  assert.equal((await agent.stat("/tmp/d1")).mode, 0o750);
  await agent.mkdir("/tmp/d1", { parents: true });
  await agent.chmod("/tmp/d1", 0o4711);
  const stat = await agent.stat("/tmp/d1");
  assert.equal(stat.mode, 0o4711);
  assert.ok(Math.abs(stat.mtimeMs - Date.now()) < 10_000);
});

test("a tree goes out and in as tar with everything it has", { skip }, async () => {
  const { agent, root } = served;
  const source = join(root, "tmp/source");
  mkdirSync(join(source, "dir/empty"), { recursive: true });
  const longName = `${"n".repeat(120)}`;
  writeFileSync(join(source, longName), "long name");
  mkdirSync(join(source, "x".repeat(100), "y".repeat(100)), { recursive: true });
  writeFileSync(join(source, "x".repeat(100), "y".repeat(100), "deep"), "deep");
  writeFileSync(join(source, "data"), randomBytes(200_000));
  execFileSync(
    "sh",
    [
      "-c",
      `cd "$1" && ln data hard && ln -s ${"t".repeat(150)} longlink && ln -s data soft && mkfifo pipe &&
       mknod device c 1 3 && chown 100000:3000000 data && chmod 4755 data && touch -d '2020-02-03 04:05:06.123456789' dir data &&
       touch -d '1960-01-01 00:00:00.5' pipe && setfattr -n user.note -v 'a b' data && setfattr -n user.dir -v 1 dir &&
       setcap cap_net_raw+ep data; printf 'umlaut' > "$(printf 'f\\303\\274 \\377')"`,
      "sh",
      source,
    ],
    { stdio: "inherit" },
  );
  const archive = await collect(agent.readTar("/tmp/source"));
  await agent.mkdir("/tmp/copy");
  await agent.writeTar("/tmp/copy", content(archive));
  assert.equal(describeTree(join(root, "tmp/copy")), describeTree(source));
  assert.equal(lstatSync(join(root, "tmp/copy/data")).ino, lstatSync(join(root, "tmp/copy/hard")).ino);

  // GNU tar reads what the agent wrote ...
  const scratch = mkdtempSync(join(tmpdir(), "supermachine-tar-"));
  try {
    execFileSync("tar", ["-x", "--xattrs", "--xattrs-include=*", "-p", "-C", scratch], { input: archive });
    assert.equal(describeTree(scratch), describeTree(source));
    // ... and the agent what GNU tar writes, in both of its formats.
    for (const format of ["gnu", "posix"]) {
      const xattrs = format === "posix" ? ["--xattrs", "--xattrs-include=*"] : [];
      const made = execFileSync("tar", ["-c", `--format=${format}`, ...xattrs, "-C", source, "."], {
        maxBuffer: 64 << 20,
      });
      await agent.mkdir(`/tmp/${format}`);
      await agent.writeTar(`/tmp/${format}`, content(made));
      const copy = join(root, "tmp", format);
      assert.deepEqual(readFileSync(join(copy, "data")), readFileSync(join(source, "data")));
      if (format === "posix") assert.equal(describeTree(copy), describeTree(source));
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
});

test("a single file goes out as tar", { skip }, async () => {
  const archive = await collect(served.agent.readTar("/etc/passwd"));
  const names = execFileSync("tar", ["-t"], { input: archive }).toString();
  assert.equal(names, "passwd\n");
});

/** Everything about a tree that an archive keeps, as text. Access and change times are not. */
function describeTree(folder: string): string {
  const script = `cd "$1" && find . -mindepth 1 -printf '%P|%y|%m|%U|%G|%T@|%l|%n\\n' | sort;
    find . -mindepth 1 ! -type l -print0 | sort -z | xargs -0 getfattr -h -d -m - 2>/dev/null;
    find . -type f -print0 | sort -z | xargs -0 md5sum; stat -c %t:%T device 2>/dev/null || true`;
  return execFileSync("sh", ["-c", script, "sh", folder], { encoding: "latin1" });
}
