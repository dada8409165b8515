import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type CpioEntry, writeCpio } from "./cpio.ts";

test("writeCpio() writes the newc format byte for byte", () => {
  const archive = writeCpio([
    { type: "directory", path: "dev", mode: 0o755 },
    { type: "character-device", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
    { type: "file", path: "init", mode: 0o755, content: new TextEncoder().encode("hello") },
  ]);
  const record = (numbers: string, name: string) => `070701${numbers.replaceAll(" ", "")}${name}`;
  const zero = "00000000";
  assert.equal(
    Buffer.from(archive).toString("latin1"),
    // c_ino c_mode c_uid c_gid c_nlink c_mtime c_filesize c_maj c_min c_rmaj c_rmin c_namesize c_chksum
    record(
      `00000001 000041ed ${zero} ${zero} 00000002 ${zero} ${zero} ${zero} ${zero} ${zero} ${zero} 00000004 ${zero}`,
      "dev\0\0\0",
    ) +
      record(
        `00000002 00002180 ${zero} ${zero} 00000001 ${zero} ${zero} ${zero} ${zero} 00000005 00000001 0000000c ${zero}`,
        "dev/console\0\0\0",
      ) +
      record(
        `00000003 000081ed ${zero} ${zero} 00000001 ${zero} 00000005 ${zero} ${zero} ${zero} ${zero} 00000005 ${zero}`,
        "init\0\0hello\0\0\0",
      ) +
      record(
        `${zero} ${zero} ${zero} ${zero} 00000001 ${zero} ${zero} ${zero} ${zero} ${zero} ${zero} 0000000b ${zero}`,
        "TRAILER!!!\0\0\0\0",
      ),
  );
});

test("writeCpio() gives back every file's bytes at four-byte boundaries", () => {
  const files = fc.array(
    fc.record({
      path: fc.stringMatching(/^[a-z][a-z0-9._/-]{0,40}$/),
      content: fc.uint8Array({ maxLength: 70 }),
    }),
    { maxLength: 8 },
  );
  fc.assert(
    fc.property(files, (list) => {
      const entries = list.map((file): CpioEntry => ({ type: "file", mode: 0o644, ...file }));
      assert.deepEqual(
        readCpio(writeCpio(entries)),
        list.map(({ path, content }) => [path, Buffer.from(content).toString("hex")]),
      );
    }),
  );
});

test("writeCpio() refuses names that it would damage", () => {
  for (const path of ["", "/init", "a b", "caf\u00e9", "a\0b"])
    assert.throws(() => writeCpio([{ type: "directory", path, mode: 0o755 }]), RangeError, path);
});

/** Reads regular files as the kernel does, header by header. */
function readCpio(archive: Uint8Array): [string, string][] {
  const bytes = Buffer.from(archive);
  const found: [string, string][] = [];
  for (let at = 0; ; ) {
    assert.equal(bytes.toString("latin1", at, at + 6), "070701");
    const field = (index: number) =>
      Number.parseInt(bytes.toString("latin1", at + 6 + index * 8, at + 14 + index * 8), 16);
    const name = bytes.toString("latin1", at + 110, at + 110 + field(11) - 1);
    const dataAt = Math.ceil((at + 110 + field(11)) / 4) * 4;
    if (name === "TRAILER!!!") return found;
    found.push([name, bytes.toString("hex", dataAt, dataAt + field(6))]);
    at = Math.ceil((dataAt + field(6)) / 4) * 4;
  }
}
