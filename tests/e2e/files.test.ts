// The file API against a real guest.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Machine, SupermachineError } from "../../src/index.ts";
import { testImage } from "../fixtures/images.ts";
import { TestHome } from "./cli.ts";

describe("files", () => {
  let home: TestHome;
  let machine: Machine;
  let scratch: string;
  before(async () => {
    home = new TestHome();
    scratch = mkdtempSync(join(tmpdir(), "supermachine-files-"));
    machine = await Machine.create(testImage("busybox").layout, { onWarning: () => {} });
  });
  after(async () => {
    await machine?.[Symbol.asyncDispose]();
    rmSync(scratch, { recursive: true, force: true });
    await home[Symbol.asyncDispose]();
  });

  test("write, read, append and stat", async () => {
    await machine.files.write("/tmp/a.txt", "one\n", { mode: 0o640 });
    await machine.files.append("/tmp/a.txt", "two\n");
    assert.equal(await machine.files.readText("/tmp/a.txt"), "one\ntwo\n");
    const stat = await machine.files.stat("/tmp/a.txt");
    assert.deepEqual([stat.type, stat.size, stat.mode, stat.uid], ["file", 8, 0o640, 0]);
    assert.equal(await machine.files.exists("/tmp/a.txt"), true);
    assert.equal(await machine.files.exists("/tmp/b.txt"), false);
  });

  test("carry 16 MiB both ways, byte for byte", async () => {
    const bytes = randomBytes(16 * 2 ** 20);
    await machine.files.write("/tmp/big", bytes);
    const sum = createHash("sha256").update(bytes).digest("hex");
    assert.equal((await machine.exec(["sha256sum", "/tmp/big"])).stdout.slice(0, 64), sum);
    const back = await machine.files.read("/tmp/big");
    assert.equal(createHash("sha256").update(back).digest("hex"), sum);
  });

  test("mkdir, list, rename, chmod, chown, symlink, remove", async () => {
    await machine.files.mkdir("/tmp/tree/deep", { parents: true });
    await machine.files.write("/tmp/tree/deep/x", "x");
    await machine.files.rename("/tmp/tree/deep/x", "/tmp/tree/y");
    // In this order: a change of owner clears the set-user-id bit.
    await machine.files.chown("/tmp/tree/y", { uid: 70_000, gid: 80_000 });
    await machine.files.chmod("/tmp/tree/y", 0o4711);
    await machine.files.symlink("y", "/tmp/tree/link");
    assert.equal((await machine.files.stat("/tmp/tree/link")).target, "y");
    assert.equal((await machine.files.stat("/tmp/tree/link", { followSymlinks: true })).type, "file");
    await machine.files.symlink("nowhere", "/tmp/dangling");
    assert.equal(await machine.files.exists("/tmp/dangling"), true);
    assert.equal(
      (await machine.exec(["stat", "-c", "%a %u %g", "/tmp/tree/y"])).stdout,
      "4711 70000 80000\n",
    );
    const entries = await machine.files.list("/tmp/tree");
    const names = entries.map((entry) => `${entry.name} ${entry.type}`).sort();
    assert.deepEqual(names, ["deep directory", "link symlink", "y file"]);
    await machine.files.remove("/tmp/tree", { recursive: true });
    assert.equal(await machine.files.exists("/tmp/tree"), false);
  });

  test("errors carry the errno and the path", async () => {
    await assert.rejects(
      () => machine.files.read("/no/such/file"),
      (error: unknown) =>
        error instanceof SupermachineError &&
        error.code === "FILE_ERROR" &&
        error.data["errno"] === "ENOENT" &&
        error.message.includes("/no/such/file"),
    );
  });

  test("copy a tree in and out with modes and links", async () => {
    const source = join(scratch, "source");
    mkdirSync(join(source, "sub"), { recursive: true });
    writeFileSync(join(source, "sub", "script.sh"), "#!/bin/sh\necho ran\n");
    chmodSync(join(source, "sub", "script.sh"), 0o755);
    symlinkSync("sub/script.sh", join(source, "link"));
    await machine.files.copyIn(source, "/tmp/copied");
    assert.equal((await machine.exec(["/tmp/copied/link"])).stdout, "ran\n");
    await machine.files.copyOut("/tmp/copied", join(scratch, "back"));
    assert.equal(readFileSync(join(scratch, "back", "sub", "script.sh"), "utf8"), "#!/bin/sh\necho ran\n");
    assert.equal(statSync(join(scratch, "back", "sub", "script.sh")).mode & 0o777, 0o755);
    assert.equal(readlinkSync(join(scratch, "back", "link")), "sub/script.sh");
  });

  test("a tar stream that wants to leave its folder is contained or refused", async () => {
    await machine.files.mkdir("/tmp/jail");
    const { stdout } = await machine.exec(
      ["sh", "-c", "mkdir -p /tmp/t && cd /tmp/t && ln -s /tmp out && tar -cf - out && rm out"],
      { encoding: "buffer" },
    );
    async function* once() {
      yield stdout;
    }
    await machine.files.writeTar("/tmp/jail", once());
    const second = (
      await machine.exec(
        ["sh", "-c", "cd /tmp/t && mkdir out && echo bad >out/escaped && tar -cf - out/escaped"],
        { encoding: "buffer" },
      )
    ).stdout;
    async function* onceMore() {
      yield second;
    }
    await machine.files.writeTar("/tmp/jail", onceMore()).then(undefined, () => {});
    assert.equal(await machine.files.exists("/tmp/escaped"), false);
  });

  test("cp on the command line works on a foreground machine, in both directions", async () => {
    writeFileSync(join(scratch, "in.txt"), "from the host\n");
    const into = await home.run(["cp", join(scratch, "in.txt"), `${machine.name}:/tmp/in.txt`]);
    assert.equal(into.code, 0, into.stderr);
    const out = await home.run(["cp", `${machine.name}:/tmp/in.txt`, join(scratch, "out.txt")]);
    assert.equal(out.code, 0, out.stderr);
    assert.equal(readFileSync(join(scratch, "out.txt"), "utf8"), "from the host\n");
    const missing = await home.run(["cp", `${machine.name}:/tmp/none`, join(scratch, "none")]);
    assert.notEqual(missing.code, 0);
    assert.match(missing.stderr, /\/tmp\/none/);
  });
});
