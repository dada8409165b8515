// An image with everything unusual that a layer may contain (tests/fixtures/make-odd-layers), as its guest sees it.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Machine } from "../../src/index.ts";
import { testImage } from "../fixtures/images.ts";
import { TestHome } from "./cli.ts";

describe("a guest of an odd image sees", () => {
  let home: TestHome;
  let machine: Machine;
  before(async () => {
    home = new TestHome();
    // Without its entry point and as root: the image's own configuration is for another test.
    machine = await Machine.create(testImage("odd").layout, {
      user: "0",
      workdir: "/odd",
      onWarning: () => {},
    });
  });
  after(async () => {
    await machine?.[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });

  const output = async (script: string): Promise<string> => {
    const result = await machine.shell(script);
    assert.equal(result.exitCode, 0, result.stderr);
    return result.stdout.trim();
  };
  const stat = (format: string, path: string): Promise<string> => output(`stat -c '${format}' ${path}`);

  test("hard links, also one that a later layer adds to a file of an earlier one", async () => {
    const inodes = await output("stat -c '%i %h' hard/original hard/same-layer hard/other-layer | sort -u");
    assert.match(inodes, /^\d+ 3$/);
    assert.equal(await output("cat hard/other-layer"), "one");
  });

  test("whiteouts applied, and a name that is back in the layer after", async () => {
    assert.equal(await output("find white | sort | xargs"), "white white/file white/kept");
    assert.equal(await output("cat white/file"), "again");
  });

  test("an opaque folder with nothing of the layers below", async () => {
    assert.equal(await output("find opaque | sort | xargs"), "opaque opaque/new");
  });

  test("changes of type between layers", async () => {
    assert.equal(await output("cat types/file/inside types/folder | xargs"), "inside now-a-file");
    assert.equal(await output("readlink types/other"), "file");
    assert.equal(await stat("%F", "types/link"), "fifo");
  });

  test("devices and fifos with their numbers and modes", async () => {
    assert.equal(await stat("%F %t:%T %a", "character"), "character special file 1:5 640");
    assert.equal(await stat("%F %t:%T %a", "block"), "block special file 103:11170 600");
    assert.equal(await stat("%F %a", "fifo"), "fifo 622");
    assert.equal(await output("head -c 4 character | od -An -tx1"), "00 00 00 00");
  });

  test("security.capability: a program may do what its file allows, and its copy may not", async () => {
    await output("cp /bin/busybox /tmp/plain; touch /tmp/target; chmod 755 /tmp/plain");
    const allowed = await machine.exec(["/odd/busybox", "chown", "7:8", "/tmp/target"], { user: "1000" });
    assert.equal(allowed.exitCode, 0, allowed.stderr);
    assert.equal(await stat("%u:%g", "/tmp/target"), "7:8");
    const refused = await machine.exec(["/tmp/plain", "busybox", "chown", "9:9", "/tmp/target"], {
      user: "1000",
    });
    assert.notEqual(refused.exitCode, 0);
    assert.equal(await stat("%u:%g", "/tmp/target"), "7:8");
  });

  test("owners beyond 16 and 31 bits, and every mode bit", async () => {
    assert.equal(await stat("%u:%g", "owner"), "70000:4000000001");
    assert.equal(await stat("%a", "modes"), "6751");
    assert.equal(await stat("%a", "/tmp"), "1777");
  });

  test("times to the nanosecond, before 1970 and after 2106", async () => {
    assert.equal(await stat("%y", "nanoseconds"), "2001-02-03 04:05:06.123456789 +0000");
    assert.equal(await stat("%y", "before-1970"), "1965-04-03 02:01:00.500000000 +0000");
    assert.equal(await stat("%y", "after-2106"), "2201-02-03 04:05:06.000000000 +0000");
  });

  test("long names, long paths, long links, and names that are no UTF-8", async () => {
    assert.equal(await output(`cat ${"0".repeat(250)}`), "long");
    assert.equal(await output(`cat ${`${"0".repeat(200)}/`.repeat(6)}file`), "deep");
    assert.equal(await output("readlink long-link | tr -d '\\n' | wc -c"), "2000");
    assert.equal(await output("cat \"$(printf '\\377\\376 not UTF-8')\""), "name");
    assert.equal(await output(`cat gnu/g${"0".repeat(199)}/file`), "gnu");
  });

  test("sparse files with their data where it was, one of them larger than 4 GiB", async () => {
    assert.equal(await stat("%s", "sparse"), String(6 * 1024 ** 2));
    assert.equal(await output("head -c 5 sparse; tail -c +3000001 sparse | head -c 6"), "startmiddle");
    assert.equal(await output("tr -d '\\0' <sparse"), "startmiddle");
    assert.equal(
      await output("tr -d '\\0' <gnu/sparse; stat -c ' %s' gnu/sparse"),
      `az ${3 * 1024 ** 2 + 1}`,
    );
    assert.equal(await stat("%s", "huge"), String(5 * 1024 ** 3 + 3));
    assert.equal(await output("tail -c 3 huge"), "end");
  });

  test("a folder of 2,000 entries, all of them found by name", async () => {
    assert.equal(await output("ls many | wc -l"), "2000");
    assert.equal(await output("for i in $(seq -w 2000); do test -f many/entry-$i || echo $i; done"), "");
  });
});
