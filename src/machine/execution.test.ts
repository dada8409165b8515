import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { test } from "node:test";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { Execution, type InternalExecOptions } from "./execution.ts";
import type { MachineLink } from "./machine-link.ts";
import { FakeAgent } from "./testing/fake-agent.ts";

const agent = new FakeAgent(() => {});
agent.programs["print"] = async ({ request, print }) => {
  for (let i = 0; i < Number(request.argv[1]); i++) {
    print("0123456789");
    print("abc", "stderr");
    await new Promise((resolve) => setImmediate(resolve));
  }
  return 0;
};
agent.programs["bytes"] = async ({ print }) => {
  print(Uint8Array.of(0xff, 0xfe, 0x00));
  return 0;
};

const link: MachineLink = {
  id: "0123456789ab",
  name: "test",
  owned: true,
  home: "/",
  defaults: { env: ["PATH=/bin"], workingDir: "/", user: "", entrypoint: [], cmd: [], stopSignal: "SIGTERM" },
  timings: [],
  agent: () => agent,
  answered: () => {},
  explain: async (error) => error as Error,
  info: () => assert.fail(),
  exits: () => assert.fail(),
  wait: () => assert.fail(),
  stop: () => assert.fail(),
  kill: () => assert.fail(),
  signal: () => assert.fail(),
  reset: () => assert.fail(),
  snapshot: () => assert.fail(),
  limitMemory: () => assert.fail(),
  logs: () => assert.fail(),
  remove: () => assert.fail(),
  close: () => {},
};

const exec = (argv: string[], options: InternalExecOptions = {}) => new Execution(link, argv, options);

const code = (wanted: string) => (error: unknown) =>
  error instanceof SupermachineError && error.code === wanted ? true : assert.fail(String(error));

async function text(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

test("awaiting a command collects both streams, any number of times", async () => {
  const execution = exec(["print", "2"]);
  const result = await execution;
  assert.deepEqual([result.stdout, result.stderr, result.exitCode], ["0123456789".repeat(2), "abcabc", 0]);
  assert.equal(await execution, result);
});

test("a stream that is read is not in the result; the other one is", async () => {
  const execution = exec(["print", "3"]);
  assert.equal(await text(execution.stdout), "0123456789".repeat(3));
  const result = await execution;
  assert.deepEqual([result.stdout, result.stderr], ["", "abc".repeat(3)]);
});

test("a stream taken after the result was asked for still starts at the beginning", async () => {
  const execution = exec(["print", "3"]);
  const result = execution.then();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(await text(execution.stdout), "0123456789".repeat(3));
  assert.equal((await result).stdout, "");
  assert.throws(() => execution.stdout[Symbol.asyncIterator](), TypeError);
});

test("both streams can be read at once", async () => {
  const { stdout, stderr } = exec(["print", "3"]);
  assert.deepEqual(await Promise.all([text(stdout), text(stderr)]), [
    "0123456789".repeat(3),
    "abc".repeat(3),
  ]);
});

test("more output than maxOutputBytes is OUTPUT_LIMIT, unless it is read", async () => {
  await assert.rejects(
    async () => await exec(["print", "20"], { maxOutputBytes: 100 }),
    code("OUTPUT_LIMIT"),
  );
  assert.equal((await text(exec(["print", "20"], { maxOutputBytes: 100 }).stdout)).length, 200);
});

test("encoding 'buffer' gives bytes as they are", async () => {
  const result = await exec(["bytes"], { encoding: "buffer" });
  assert.deepEqual([...(result.stdout as unknown as Uint8Array)], [0xff, 0xfe, 0x00]);
});

test("input may be a string, bytes or an iterable, and ends", async () => {
  async function* parts() {
    yield "b";
    yield Buffer.from("c");
  }
  assert.equal((await exec(["cat"], { input: "a" })).stdout, "a");
  assert.equal((await exec(["cat"], { input: Buffer.from("b") })).stdout, "b");
  assert.equal((await exec(["cat"], { input: parts() })).stdout, "bc");
  assert.equal((await exec(["cat"])).stdout, "");
});

test("an input that fails ends the command with its error", async () => {
  // biome-ignore lint/correctness/useYield: it fails before it has anything to give
  async function* broken(): AsyncGenerator<string> {
    throw new Error("no more");
  }
  await assert.rejects(async () => await exec(["cat"], { input: broken() }), /no more/);
});

test("stdin 'pipe' takes a pipeline; without it stdin is a TypeError", async () => {
  const execution = exec(["cat"], { stdin: "pipe" });
  await pipeline(Readable.from(["x", "y"]), execution.stdin);
  assert.equal((await execution).stdout, "xy");
  assert.throws(() => exec(["true"]).stdin, TypeError);
});

test("check turns a failure into EXEC_FAILED with the result's fields and the last line of stderr", async () => {
  await assert.rejects(
    async () => await exec(["fail", "4"], { check: true }),
    (error: unknown) => {
      assert.ok(code("EXEC_FAILED")(error));
      const { message, data } = error as SupermachineError;
      assert.match(message, /'fail 4' exited with 4: broken$/);
      assert.deepEqual([data["exitCode"], data["stderr"]], [4, "one\nbroken\n"]);
      return true;
    },
  );
  assert.equal((await exec(["true"], { check: true })).exitCode, 0);
});

test("kill() sends the named signal, and the result names it", async () => {
  const execution = exec(["sleep"]);
  await execution.kill("INT");
  assert.equal((await execution).signal, "SIGINT");
  await assert.rejects(exec(["sleep"]).kill("SIGNOPE"), code("INVALID_ARGUMENT"));
});

test("an abort rejects with ABORTED and the reason, for readers too", async () => {
  const abort = new AbortController();
  const awaited = exec(["sleep"], { signal: abort.signal });
  const read = text(exec(["sleep"], { signal: abort.signal }).stdout);
  const both = Promise.allSettled([awaited, read]);
  abort.abort(new Error("enough"));
  for (const result of await both) {
    assert.ok(result.status === "rejected" && code("ABORTED")(result.reason));
    assert.match(String(result.reason.cause), /enough/);
  }
  await assert.rejects(async () => await exec(["true"], { signal: AbortSignal.abort() }), code("ABORTED"));
});

test("a timeout is a result, or a failure with check", async () => {
  const result = await exec(["sleep"], { timeoutMs: 10 });
  assert.deepEqual([result.timedOut, result.signal], [true, "SIGKILL"]);
  await assert.rejects(async () => await exec(["sleep"], { timeoutMs: 10, check: true }), /time limit/);
});

test("a command that cannot be started rejects, and nobody who looks away crashes", async () => {
  await assert.rejects(async () => await exec(["nope"]), code("COMMAND_NOT_FOUND"));
  await assert.rejects(exec(["nope"]).pid, code("COMMAND_NOT_FOUND"));
  exec(["nope"]);
  await new Promise((resolve) => setImmediate(resolve));
});

test("misuse is a TypeError", async () => {
  await assert.rejects(async () => await exec([]), TypeError);
  await assert.rejects(async () => await exec("ls" as unknown as string[]), TypeError);
  await assert.rejects(async () => await exec(["a\0b"]), TypeError);
  await assert.rejects(async () => await exec(["cat"], { input: "x", stdin: "pipe" }), TypeError);
});

test("a terminal has a size, a TERM, and can be resized", async () => {
  let sizes: unknown;
  agent.programs["screen"] = async (process) => {
    sizes = process.sizes;
    await process.signalled;
    return 0;
  };
  const execution = exec(["screen"], { tty: true });
  execution.resize({ columns: 10, rows: 5 });
  await execution.kill();
  await execution;
  assert.deepEqual(sizes, [{ columns: 10, rows: 5 }]);
  const request = agent.requests.at(-1);
  assert.deepEqual(request?.tty, { columns: 80, rows: 24 });
  assert.ok(request?.env.includes("TERM=xterm"));
});
