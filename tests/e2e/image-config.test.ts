// What an image's configuration says is what its guest does.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Machine } from "../../src/index.ts";
import { testImage } from "../fixtures/images.ts";
import { TestHome } from "./cli.ts";

describe("the image's configuration", () => {
  let home: TestHome;
  before(() => {
    home = new TestHome();
  });
  after(() => home[Symbol.asyncDispose]());

  test("gives environment, user with groups, working directory, volumes, entry point, command and stop signal", async () => {
    await using machine = await Machine.create(testImage("odd").layout, { command: [], onWarning: () => {} });
    const { stdout } = await machine.shell(
      "id -u; id -G; pwd; echo $FROM_IMAGE $HOME; cat /odd/volume/content",
    );
    assert.equal(stdout, "1000\n1000 2000 2001\n/made/up\nyes /home/guest\nvolume\n");
    const written = await machine.exec(["sh", "-c", "echo more >/odd/volume/new && cat /odd/volume/new"], {
      user: "0",
    });
    assert.equal(written.stdout, "more\n", written.stderr);
    while (!(await logOf(machine)).includes("ready")) await sleep(100);
    const { reason, exitCode } = await machine.stop();
    // The signal goes to the whole group: a shell that was waiting for its sleep says how that ended.
    const log = (await logOf(machine)).replace("User defined signal 1\n", "");
    assert.deepEqual([reason, exitCode, log], ["stopped", 5, "ready\nasked\n"]);
  });

  test("is enough for an image that is one static program, without /etc, /tmp or a shell", async () => {
    const { layout } = testImage("scratch");
    const own = await home.run(["run", layout]);
    assert.match(own.stdout, /^uid=1234 gid=5678/);
    assert.equal(own.code, 0, own.stderr);
    const other = await home.run(["run", "-u", "0", layout, "ls", "-a", "/"]);
    assert.match(other.stdout, /^busybox$/m);
    assert.equal(other.code, 0, other.stderr);
  });
});

async function logOf(machine: Machine): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const { bytes } of machine.logs()) pieces.push(bytes);
  return Buffer.concat(pieces).toString();
}
