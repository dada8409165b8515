// `supermachine run` as a user types it: streams, exit codes, the image's configuration and docker's options.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { testImage } from "../fixtures/images.ts";
import { TestHome } from "./cli.ts";

describe("run", () => {
  let home: TestHome;
  let image: string;
  before(() => {
    home = new TestHome();
    image = testImage("busybox").layout;
  });
  after(() => home[Symbol.asyncDispose]());

  test("keeps the streams apart and passes the exit code on, from a docker archive", async () => {
    const archive = `docker-archive:${testImage("busybox").dockerArchive}`;
    const result = await home.run(["run", archive, "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert.equal(result.code, 7, result.stderr);
    assert.equal(result.stdout, "out\n");
    assert.match(result.stderr, /^err$/m);
  });

  test("a second run of an image converts nothing and says nothing", async () => {
    const result = await home.run(["run", image, "echo", "again"]);
    assert.equal(result.stdout, "again\n", result.stderr);
    assert.doesNotMatch(result.stderr, /convert/i);
  });

  test("runs the image's own command when none is given, with standard input", async () => {
    const result = await home.run(["run", "-i", image], { input: "echo $((6 * 7)); exit 3\n" });
    assert.equal(result.stdout, "42\n", result.stderr);
    assert.equal(result.code, 3);
  });

  test("honours environment, working directory, user and host name", async () => {
    const script = 'echo "$A $B $PWD $(id -u):$(id -g) $(id -G) $(hostname) $HOME"';
    const options = ["-e", "A=one two", "-e", "B", "-w", "/srv/new/dir", "-u", "guest", "--hostname", "box"];
    const result = await home.run(["run", ...options, image, "sh", "-c", script], {
      env: { B: "from-host" },
    });
    assert.equal(
      result.stdout,
      "one two from-host /srv/new/dir 1000:1000 1000 2000 2001 box /home/guest\n",
      result.stderr,
    );
  });

  test("takes a numeric user and group that the image does not know", async () => {
    const result = await home.run(["run", "--user", "4242:4343", image, "sh", "-c", "id -u; id -g; id -G"]);
    assert.equal(result.stdout, "4242\n4343\n4343\n", result.stderr);
  });

  test("replaces the entry point", async () => {
    const result = await home.run(["run", "--entrypoint", "/bin/basename", image, "/a/b/c"]);
    assert.equal(result.stdout, "c\n", result.stderr);
  });

  test("ends with 127 and one line for a command that does not exist", async () => {
    const result = await home.run(["run", "--quiet", image, "no-such-command"]);
    assert.equal(result.code, 127);
    assert.match(result.stderr, /no-such-command/);
    assert.doesNotMatch(result.stderr, /\n\s+at /);
  });

  test("ends with 126 for a file that cannot be executed", async () => {
    const result = await home.run(["run", image, "/etc/passwd"]);
    assert.equal(result.code, 126, result.stderr);
  });

  test("ends with 128 and the signal's number for a command that a signal ended", async () => {
    const result = await home.run(["run", image, "sh", "-c", "kill -9 $$"]);
    assert.equal(result.code, 137, result.stderr);
  });

  test("ends with 125 for a user that does not exist", async () => {
    const result = await home.run(["run", "-u", "nobody-here", image, "true"]);
    assert.ok(result.code === 125 || result.code === 126, `${result.code}: ${result.stderr}`);
    assert.match(result.stderr, /nobody-here/);
  });

  test("an interrupt reaches the guest's command", async () => {
    const child = home.start([
      "run",
      image,
      "sh",
      "-c",
      "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.1; done",
    ]);
    let stdout = "";
    child.stdout?.on("data", (bytes: Buffer) => {
      const first = stdout === "";
      stdout += bytes.toString();
      if (first) child.kill("SIGINT");
    });
    const code = await new Promise((resolve) => child.on("close", resolve));
    assert.equal(stdout, "ready\ncaught\n");
    assert.equal(code, 9);
  });

  test("memory and cpus are what was asked for", async () => {
    const script = "nproc; awk '/MemTotal/{print int($2 / 1024)}' /proc/meminfo";
    const result = await home.run(["run", "--cpus", "1", "--memory", "300m", image, "sh", "-c", script]);
    const [cpus, memory] = result.stdout.split("\n").map(Number);
    assert.equal(cpus, 1, result.stderr);
    assert.ok(memory !== undefined && memory > 200 && memory <= 300, String(memory));
  });

  test("a foreground run leaves nothing behind", async () => {
    assert.equal((await home.run(["ps", "-a", "-q"])).stdout, "");
  });
});
