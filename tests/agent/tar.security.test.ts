import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type ServedAgent, serveAgent, whyNot } from "./serve-agent.ts";

const skip = whyNot() ?? false;
let served: ServedAgent;
before(async () => {
  if (skip === false) served = await serveAgent();
});
after(async () => {
  if (skip === false) await served[Symbol.asyncDispose]();
});

interface Entry {
  name: string;
  type?: string;
  link?: string;
  content?: string;
  size?: number;
}

function header({ name, type = "0", link = "", content = "", size }: Entry): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 100);
  block.write("0000644\0", 100);
  block.write("0000000\0", 108);
  block.write("0000000\0", 116);
  block.write(`${(size ?? content.length).toString(8).padStart(11, "0")}\0`, 124);
  block.write("00000000000\0", 136);
  block.write("        ", 148);
  block.write(type, 156);
  block.write(link, 157, 100);
  block.write("ustar\x0000", 257, "latin1");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

function archive(...entries: Entry[]): Buffer {
  const parts = entries.flatMap((entry) => {
    const body = Buffer.alloc(Math.ceil((entry.content ?? "").length / 512) * 512);
    body.write(entry.content ?? "");
    return [header(entry), body];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

async function* whole(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

let count = 0;
async function extract(bytes: Uint8Array): Promise<string> {
  const folder = `/tmp/extract-${++count}`;
  await served.agent.mkdir(folder);
  await served.agent.writeTar(folder, whole(bytes));
  return join(served.root, folder);
}

test("names with '..' are refused, with the entry named", { skip }, async () => {
  await assert.rejects(extract(archive({ name: "a/../../evil", content: "x" })), {
    code: "ARCHIVE_INVALID",
    message: /a\/\.\.\/\.\.\/evil/,
  });
  assert.ok(!existsSync(join(served.root, "tmp/evil")));
});

test("absolute names land below the directory", { skip }, async () => {
  const folder = await extract(archive({ name: "/etc/passwd", content: "mine" }));
  assert.equal(readFileSync(join(folder, "etc/passwd"), "utf8"), "mine");
});

test("a symbolic link does not lead later entries out", { skip }, async () => {
  for (const link of ["../../etc", "/etc", "../../../../../../etc"]) {
    const before = readFileSync(join(served.root, "etc/passwd"), "utf8");
    await extract(archive({ name: "out", type: "2", link }, { name: "out/passwd", content: "owned" })).catch(
      () => {},
    );
    assert.equal(readFileSync(join(served.root, "etc/passwd"), "utf8"), before);
  }
});

test("a file replaces a symbolic link instead of writing through it", { skip }, async () => {
  const folder = await extract(
    archive({ name: "f", type: "2", link: "/tmp/target" }, { name: "f", content: "x" }),
  );
  assert.equal(readFileSync(join(folder, "f"), "utf8"), "x");
  assert.ok(!existsSync(join(served.root, "tmp/target")));
});

test("a hard link cannot reach outside", { skip }, async () => {
  await assert.rejects(extract(archive({ name: "h", type: "1", link: "../../etc/passwd" })), {
    code: "ARCHIVE_INVALID",
  });
  await assert.rejects(extract(archive({ name: "h", type: "1", link: "/etc/passwd" })), {
    code: "FILE_ERROR",
    data: { errno: "ENOENT", detail: "entry 'h'" },
  });
});

test("damaged archives are refused", { skip }, async () => {
  const good = archive({ name: "f", content: "x".repeat(3000) });
  await assert.rejects(extract(good.subarray(0, 1500)), { code: "ARCHIVE_INVALID", message: /cut off/ });
  await assert.rejects(extract(good.subarray(0, 512 + 3072)), {
    code: "ARCHIVE_INVALID",
    message: /cut off/,
  });
  await assert.rejects(extract(Buffer.from("this is no archive".repeat(100))), {
    code: "ARCHIVE_INVALID",
    message: /checksum/,
  });
  const pax = (body: string) =>
    archive({ name: "pax", type: "x", content: body }, { name: "f", content: "x" });
  for (const body of [
    "9999 path=x\n",
    "6 a=\n",
    "x path=y\n",
    "11 path=a\0b\n",
    "26 GNU.sparse.major=1.00\n",
    "12 uid=abcd\n",
  ])
    await assert.rejects(extract(pax(body)), { code: "ARCHIVE_INVALID" }, body);
  await assert.rejects(extract(archive({ name: "v", type: "S" })), { code: "ARCHIVE_INVALID" });
});

test("an empty archive is fine", { skip }, async () => {
  await extract(archive());
});

test("a verdict that comes before the end of the upload is told", { skip, timeout: 10_000 }, async () => {
  const endless = (async function* () {
    for (;;) yield new Uint8Array(65_536).fill(120);
  })();
  await assert.rejects(served.agent.writeTar("/tmp", endless), { code: "ARCHIVE_INVALID" });
});
