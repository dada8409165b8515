// What commands in a running machine can do, through the API: bytes both ways, many at once, limits, signals.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { Machine, SupermachineError } from "../../src/index.ts";
import { testImage } from "../fixtures/images.ts";
import { TestHome } from "./cli.ts";

const MiB = 2 ** 20;

describe("exec", () => {
  let home: TestHome;
  let machine: Machine;
  before(async () => {
    home = new TestHome();
    machine = await Machine.create(testImage("busybox").layout, { memory: "512MiB", onWarning: () => {} });
  });
  after(async () => {
    await machine?.[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });

  test("collects output and exit code, and does not throw for a failure unless asked", async () => {
    const result = await machine.shell("echo out; echo err >&2; exit 3");
    assert.deepEqual([result.exitCode, result.stdout, result.stderr], [3, "out\n", "err\n"]);
    await assert.rejects(
      async () => await machine.shell("exit 3", { check: true }),
      (error: unknown) => error instanceof SupermachineError && error.code === "EXEC_FAILED",
    );
  });

  test("carries 64 MiB out, neither lost nor reordered", async () => {
    const command =
      "dd if=/dev/urandom of=/tmp/big bs=1M count=64 2>/dev/null; sha256sum /tmp/big >/tmp/sum; cat /tmp/big";
    const hash = createHash("sha256");
    let length = 0;
    for await (const chunk of machine.shell(command).stdout) {
      hash.update(chunk);
      length += chunk.length;
    }
    assert.equal(length, 64 * MiB);
    const { stdout } = await machine.exec(["cut", "-c", "1-64", "/tmp/sum"]);
    assert.equal(hash.digest("hex"), stdout.trim());
    await machine.files.remove("/tmp/big");
  });

  test("carries 64 MiB in, with an end", async () => {
    const block = randomBytes(MiB);
    const hash = createHash("sha256");
    async function* blocks() {
      for (let index = 0; index < 64; index++) {
        block.writeUInt32LE(index, 0);
        hash.update(block);
        yield Uint8Array.from(block);
      }
    }
    const { stdout } = await machine.exec(["sha256sum"], { input: blocks() });
    assert.equal(stdout.slice(0, 64), hash.digest("hex"));
  });

  test("runs 20 commands at once, each with its own streams", async () => {
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        machine.shell(`cat; echo ${index} >&2; exit ${index}`, { input: `input ${index}\n`.repeat(100) }),
      ),
    );
    for (const [index, result] of results.entries()) {
      assert.equal(result.exitCode, index);
      assert.equal(result.stdout, `input ${index}\n`.repeat(100));
      assert.equal(result.stderr, `${index}\n`);
    }
  });

  test("a reader that stops reading does not stall another command", async () => {
    await using flood = machine.exec(["cat", "/dev/zero"]);
    const reader = flood.stdout[Symbol.asyncIterator]();
    await reader.next();
    const { stdout } = await machine.exec(["seq", "1", "100000"]);
    assert.equal(stdout.length, 588_895);
    await flood.kill("SIGKILL");
  });

  test("ends a command at its time limit and says so", async () => {
    const result = await machine.exec(["sleep", "600"], { timeoutMs: 300 });
    assert.equal(result.timedOut, true);
    assert.equal(result.signal, "SIGKILL");
  });

  test("an abort signal ends the command and rejects", async () => {
    const abort = new AbortController();
    const execution = machine.exec(["sleep", "600"], { signal: abort.signal });
    setTimeout(() => abort.abort(), 200);
    await assert.rejects(
      async () => await execution,
      (error: unknown) => error instanceof SupermachineError && error.code === "ABORTED",
    );
  });

  test("delivers signals and reports the one that ended the command", async () => {
    const execution = machine.exec(["sleep", "600"]);
    await execution.pid;
    await execution.kill("SIGUSR1");
    assert.equal((await execution).signal, "SIGUSR1");
  });

  test("streams standard input piece by piece", async () => {
    const execution = machine.exec(["cat"], { stdin: "pipe" });
    const reader = execution.stdout[Symbol.asyncIterator]();
    for (const word of ["one", "two"]) {
      execution.stdin.write(word);
      const { value } = await reader.next();
      assert.equal(Buffer.from(value as Uint8Array).toString(), word);
    }
    execution.stdin.end();
    assert.equal((await reader.next()).done, true);
    assert.equal((await execution).exitCode, 0);
  });

  test("reports a command killed for lack of memory as such, and the machine lives on", async () => {
    const result = await machine.shell("x=a; while :; do x=$x$x; done");
    assert.equal(
      result.outOfMemory,
      true,
      JSON.stringify({ ...result, stdout: "", stderr: result.stderr.slice(0, 300) }),
    );
    assert.equal((await machine.exec(["echo", "alive"])).stdout, "alive\n");
  });

  test("reaps orphans", async () => {
    await machine.shell("for i in 1 2 3 4 5; do (sleep 0.1 &) ; done");
    await machine.shell("sleep 1");
    const { stdout } = await machine.shell("ps -o stat | grep -c Z || true");
    assert.equal(stdout.trim(), "0");
  });

  test("a command's background child does not keep the command from ending", async () => {
    const result = await machine.shell("sleep 600 & echo done");
    assert.equal(result.stdout, "done\n");
    assert.ok(result.durationMs < 30_000);
  });

  test("gives a terminal of the asked size", async () => {
    const { stdout } = await machine.exec(["sh", "-c", "tty; stty size"], {
      tty: { columns: 123, rows: 45 },
    });
    assert.match(stdout, /^\/dev\/pts\/\d+\r\n45 123\r\n$/);
  });

  test("names what is missing: command, working directory, user", async () => {
    const code = (expected: string) => (error: unknown) =>
      error instanceof SupermachineError && error.code === expected;
    await assert.rejects(async () => await machine.exec(["nope"]), code("COMMAND_NOT_FOUND"));
    await assert.rejects(async () => await machine.exec(["/etc/passwd"]), code("COMMAND_NOT_EXECUTABLE"));
    await assert.rejects(
      async () => await machine.exec(["true"], { cwd: "/nope" }),
      code("WORKING_DIRECTORY"),
    );
    await assert.rejects(async () => await machine.exec(["true"], { user: "nope" }), code("USER_NOT_FOUND"));
  });

  test("takes an environment and arguments of a mebibyte", async () => {
    const long = "x".repeat(100_000);
    const env = Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`LONG_${index}`, long]));
    const { stdout } = await machine.exec(["sh", "-c", 'echo "${#LONG_0} ${#LONG_9}"'], { env });
    assert.equal(stdout, "100000 100000\n");
  });
});
