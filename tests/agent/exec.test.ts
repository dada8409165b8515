import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { collect, finish, request, type ServedAgent, serveAgent, whyNot } from "./serve-agent.ts";

const skip = whyNot() ?? false;
let served: ServedAgent;
before(async () => {
  if (skip === false) served = await serveAgent();
});
after(async () => {
  if (skip === false) await served[Symbol.asyncDispose]();
});
const sh = (script: string, more = {}) => served.agent.exec(request(["sh", "-c", script], more));

test("a command's streams are kept apart and its exit code is told", { skip }, async () => {
  const result = await finish(sh("echo out; echo err >&2; exit 7"));
  assert.deepEqual(result, {
    stdout: "out\n",
    stderr: "err\n",
    exit: { exitCode: 7, timedOut: false, outOfMemory: false },
  });
});

test("a command that a signal ends is told by its signal", { skip }, async () => {
  const exec = sh("kill -TERM $$");
  assert.equal((await exec.exit).signal, 15);
});

test("what cannot be started fails by kind, before any output", { skip }, async () => {
  const { agent } = served;
  const code = async (argv: string[], more = {}) => {
    const exec = agent.exec(request(argv, more));
    const error = await exec.started.then(
      () => undefined,
      (reason) => reason,
    );
    await assert.rejects(exec.exit);
    return error?.code;
  };
  assert.equal(await code(["nope"]), "COMMAND_NOT_FOUND");
  assert.equal(await code(["/bin/nope"]), "COMMAND_NOT_FOUND");
  assert.equal(await code(["/etc/passwd"]), "COMMAND_NOT_EXECUTABLE");
  assert.equal(await code(["/etc"]), "COMMAND_NOT_EXECUTABLE");
  assert.equal(await code(["true"], { cwd: "/nowhere" }), "WORKING_DIRECTORY");
  assert.equal(await code(["true"], { user: "nobody-here" }), "USER_NOT_FOUND");
  assert.equal(await code(["true"], { user: "ann:nogroup" }), "USER_NOT_FOUND");
});

test("a script without an interpreter line is told from a missing interpreter", { skip }, async () => {
  const { agent } = served;
  const content = async function* (text: string) {
    yield Buffer.from(text);
  };
  await agent.writeFile("/tmp/plain", content("echo hi\n"), { mode: 0o755 });
  await agent.writeFile("/tmp/lost", content("#!/bin/lost\n"), { mode: 0o755 });
  await assert.rejects(agent.exec(request(["/tmp/plain"])).started, {
    data: { errno: "ENOEXEC", detail: "/tmp/plain" },
  });
  await assert.rejects(agent.exec(request(["/tmp/lost"])).started, {
    data: { errno: "ENOENT", detail: "/tmp/lost" },
  });
});

test("the working directory is created when asked", { skip }, async () => {
  const { stdout } = await finish(
    served.agent.exec(request(["pwd"], { cwd: "/made/for/me", createCwd: true })),
  );
  assert.equal(stdout, "/made/for/me\n");
});

test("users are resolved in the guest, with supplementary groups and home", { skip }, async () => {
  const id = async (user: string) =>
    (await finish(sh("echo $(id -u) $(id -g) $(id -G) $HOME", { user }))).stdout.trim();
  assert.equal(await id(""), "0 0 0 /root");
  assert.equal(await id("ann"), "1000 1001 1001 29 44 /home/ann");
  assert.equal(await id("1000"), "1000 1001 1001 29 44 /home/ann");
  assert.equal(await id("ann:video"), "1000 44 44 /home/ann");
  assert.equal(await id("4711"), "4711 0 0 /");
  assert.equal(await id("4711:99"), "4711 99 99 /");
  assert.equal(await id("12"), "12 12 12 /");
});

test("the environment is the request's alone", { skip }, async () => {
  const { stdout } = await finish(
    served.agent.exec(request(["env"], { env: ["PATH=/bin", "A=1=2", "HOME=/x"] })),
  );
  assert.equal(stdout, "PATH=/bin\nA=1=2\nHOME=/x\n");
});

test("a megabyte of arguments and environment arrives", { skip }, async () => {
  const env = ["PATH=/bin", ...Array.from({ length: 10 }, (_, i) => `V${i}=${"x".repeat(100_000)}`)];
  const { stdout } = await finish(served.agent.exec(request(["sh", "-c", "echo ${#V9}"], { env })));
  assert.equal(stdout, "100000\n");
});

test("arguments beyond what the kernel takes are refused as such", { skip }, async () => {
  await assert.rejects(served.agent.exec(request(["echo", "x".repeat(200_000)])).exit, {
    data: { errno: "E2BIG", detail: "arguments and environment" },
  });
});

test("stdin streams and ends", { skip }, async () => {
  const exec = served.agent.exec(request(["cat"], { stdin: true }));
  await exec.writeStdin(Buffer.from("one "));
  await exec.writeStdin(Buffer.from("two"));
  await exec.closeStdin();
  assert.equal((await finish(exec)).stdout, "one two");
});

test("64 MiB go in and come back unchanged", { skip, timeout: 60_000 }, async () => {
  const exec = served.agent.exec(request(["cat"], { stdin: true }));
  const block = randomBytes(1 << 20);
  const sent = createHash("sha256");
  const feed = (async () => {
    for (let i = 0; i < 64; i++) {
      block.writeUInt32LE(i);
      sent.update(block);
      await exec.writeStdin(block);
    }
    await exec.closeStdin();
  })();
  const received = createHash("sha256");
  let length = 0;
  for await (const bytes of exec.stdout) {
    received.update(bytes);
    length += bytes.length;
  }
  await feed;
  assert.equal((await exec.exit).exitCode, 0);
  assert.equal(length, 64 << 20);
  assert.equal(received.digest("hex"), sent.digest("hex"));
});

test("a command that closes its stdin makes writing fail with EPIPE", { skip }, async () => {
  const exec = sh("exec 0<&-; echo closed; sleep 5", { stdin: true });
  for await (const _ of exec.stdout) break;
  await assert.rejects(
    async () => {
      for (let i = 0; i < 100; i++) await exec.writeStdin(new Uint8Array(65536));
    },
    { data: { errno: "EPIPE" } },
  );
  exec.cancel();
});

test("a slow reader stalls its own command only", { skip, timeout: 30_000 }, async () => {
  const slow = served.agent.exec(request(["yes"]));
  await slow.started;
  await sleep(200);
  const { stdout } = await finish(sh("dd if=/dev/zero bs=1M count=8 2>/dev/null | wc -c"));
  assert.equal(stdout.trim(), String(8 << 20));
  const big = await collect(served.agent.exec(request(["dd", "if=/dev/zero", "bs=1M", "count=8"])).stdout);
  assert.equal(big.length, 8 << 20);
  slow.cancel();
  await assert.rejects(slow.exit, { code: "ABORTED" });
});

test("twenty commands at once keep their outputs apart", { skip, timeout: 30_000 }, async () => {
  const results = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      finish(sh(`i=0; while [ $i -lt 500 ]; do echo ${i}:$i; i=$((i+1)); done`)),
    ),
  );
  for (const [i, { stdout }] of results.entries())
    assert.equal(stdout, Array.from({ length: 500 }, (_, n) => `${i}:${n}\n`).join(""));
});

test("a time limit kills the command and its children", { skip }, async () => {
  const began = Date.now();
  const { exit } = await finish(sh("sleep 60 | sleep 60", { timeoutMs: 300 }));
  assert.deepEqual(exit, { signal: 9, timedOut: true, outOfMemory: false });
  assert.ok(Date.now() - began < 5000);
});

test("signals reach the process group", { skip }, async () => {
  const exec = sh("trap 'echo caught; exit 3' USR1; echo ready; while :; do sleep 1; done");
  const output = exec.stdout[Symbol.asyncIterator]();
  assert.equal(Buffer.from((await output.next()).value ?? []).toString(), "ready\n");
  exec.signal(10);
  assert.equal((await exec.exit).exitCode, 3);
  exec.signal(10);
});

test("background processes neither hold up the end nor die of it", { skip }, async () => {
  const began = Date.now();
  const { stdout, exit } = await finish(sh("(sleep 1; echo late; echo alive > /tmp/alive) & echo early"));
  assert.equal(stdout, "early\n");
  assert.equal(exit.exitCode, 0);
  assert.ok(Date.now() - began < 900);
  await sleep(1300);
  assert.equal((await collect(served.agent.readFile("/tmp/alive"))).toString(), "alive\n");
});

test("all output written before the end arrives, also to a reader that starts late", { skip }, async () => {
  const exec = sh("dd if=/dev/zero bs=1k count=400 2>/dev/null; sleep 30 & exit 0");
  await sleep(300);
  assert.equal((await collect(exec.stdout)).length, 400 * 1024);
  await exec.exit;
});

test("a terminal has a size, can be resized, and joins both outputs", { skip }, async () => {
  const exec = sh("stty size; echo err >&2; read x; stty size; tty", {
    stdin: true,
    tty: { columns: 90, rows: 33 },
  });
  let text = "";
  let resized = false;
  for await (const bytes of exec.stdout) {
    text += Buffer.from(bytes).toString();
    if (text.includes("err") && !resized) {
      resized = true;
      exec.resize({ columns: 100, rows: 40 });
      await exec.writeStdin(Buffer.from("go\n"));
    }
  }
  assert.match(text, /^33 90\r\nerr\r\ngo\r\n40 100\r\n/);
  assert.equal((await exec.exit).exitCode !== undefined, true);
});

test("the end of input on a terminal is its end-of-file character", { skip }, async () => {
  const exec = served.agent.exec(request(["cat"], { stdin: true, tty: { columns: 80, rows: 24 } }));
  await exec.writeStdin(Buffer.from("hello\n"));
  await exec.closeStdin();
  const { stdout, exit } = await finish(exec);
  assert.equal(stdout, "hello\r\nhello\r\n");
  assert.equal(exit.exitCode, 0);
});

test("cancelling kills the command", { skip }, async () => {
  const exec = sh("echo $$ > /tmp/pid; sleep 60");
  await exec.started;
  await sleep(100);
  const pid = Number((await collect(served.agent.readFile("/tmp/pid"))).toString());
  exec.cancel();
  await assert.rejects(exec.exit, { code: "ABORTED" });
  await sleep(100);
  assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
});
