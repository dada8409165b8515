import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { finish, listenAgent, request, whyNot } from "./serve-agent.ts";

const skip = whyNot() ?? false;
const parked = (script: string, more = {}) => request(["sh", "-c", script], { parked: true, ...more });

test("a parked command outlives its connection and is taken over", { skip, timeout: 20_000 }, async () => {
  await using listening = await listenAgent();
  const first = await listening.connect();
  const exec = first.agent.exec(
    parked("echo one; read line; echo $line; echo err >&2; exit 4", { stdin: true }),
  );
  const pid = await exec.started;
  for await (const bytes of exec.stdout) {
    assert.equal(Buffer.from(bytes).toString(), "one\n");
    break;
  }
  first.socket.destroy();
  await assert.rejects(exec.exit, { code: "MACHINE_EXITED" });

  const { agent } = await listening.connect();
  const adopted = agent.adopt(pid);
  assert.equal(await adopted.started, pid);
  await adopted.writeStdin(Buffer.from("two\n"));
  const { stdout, stderr, exit } = await finish(adopted);
  assert.deepEqual([stdout, stderr, exit.exitCode], ["two\n", "err\n", 4]);
  await assert.rejects(agent.adopt(pid).exit, { code: "UNSUPPORTED" });
});

test("the output and the end of a parked command wait for who comes", { skip, timeout: 20_000 }, async () => {
  await using listening = await listenAgent();
  const first = await listening.connect();
  const short = first.agent.exec(parked("sleep 0.2; echo done; exit 9"));
  const long = first.agent.exec(parked("sleep 0.2; seq 1 300000"));
  const [shortPid, longPid] = [await short.started, await long.started];
  first.socket.destroy();
  await Promise.allSettled([short.exit, long.exit]);
  await sleep(500);

  const { agent } = await listening.connect();
  const end = await finish(agent.adopt(shortPid));
  assert.deepEqual([end.stdout, end.exit.exitCode], ["done\n", 9]);
  const { stdout } = await finish(agent.adopt(longPid));
  const expected = Array.from({ length: 300_000 }, (_, i) => `${i + 1}\n`).join("");
  const hash = (text: string) => createHash("sha256").update(text).digest("hex");
  assert.equal(hash(stdout), hash(expected));
});

test("a command may be parked again and again, with its terminal", { skip, timeout: 20_000 }, async () => {
  await using listening = await listenAgent();
  const first = await listening.connect();
  const tty = { columns: 80, rows: 24 };
  const exec = first.agent.exec(parked("while read x; do stty size; done", { stdin: true, tty }));
  const pid = await exec.started;
  first.socket.destroy();
  for (const columns of [90, 100, 110]) {
    const { agent, socket } = await listening.connect();
    const adopted = agent.adopt(pid);
    await adopted.started;
    adopted.resize({ columns, rows: 30 });
    await adopted.writeStdin(Buffer.from("x\n"));
    let text = "";
    for await (const bytes of adopted.stdout) {
      text += Buffer.from(bytes).toString();
      if (text.includes("30 ")) break;
    }
    assert.ok(text.includes(`30 ${columns}`), text);
    socket.destroy();
    await assert.rejects(adopted.exit);
  }
  const { agent } = await listening.connect();
  const last = agent.adopt(pid);
  last.signal(9);
  assert.equal((await last.exit).signal, 9);
});

test("only a parked command that nobody has can be taken over", { skip, timeout: 20_000 }, async () => {
  await using listening = await listenAgent();
  const first = await listening.connect();
  const plain = first.agent.exec(request(["sleep", "600"]));
  const kept = first.agent.exec(parked("sleep 600"));
  const [plainPid, keptPid] = [await plain.started, await kept.started];
  await assert.rejects(first.agent.adopt(keptPid).exit, { code: "UNSUPPORTED" });
  first.socket.destroy();
  await Promise.allSettled([plain.exit, kept.exit]);

  const { agent } = await listening.connect();
  for (const pid of [plainPid, 1, 4_000_000_000])
    await assert.rejects(agent.adopt(pid).started, { code: "UNSUPPORTED" });
  const taken = agent.adopt(keptPid);
  await taken.started;
  taken.cancel();
  await assert.rejects(taken.exit, { code: "ABORTED" });
});

test("input that was not read yet is dropped, and an ended input is told", {
  skip,
  timeout: 20_000,
}, async () => {
  await using listening = await listenAgent();
  const first = await listening.connect();
  const full = first.agent.exec(parked("sleep 0.3; wc -c; sleep 600", { stdin: true }));
  const ended = first.agent.exec(parked("cat; echo ended; sleep 600", { stdin: true }));
  const [fullPid, endedPid] = [await full.started, await ended.started];
  await ended.closeStdin();
  for await (const bytes of ended.stdout) {
    assert.equal(Buffer.from(bytes).toString(), "ended\n");
    break;
  }
  await full.writeStdin(new Uint8Array(200_000));
  first.socket.destroy();
  await Promise.allSettled([full.exit, ended.exit]);

  const { agent } = await listening.connect();
  const again = agent.adopt(endedPid);
  await again.started;
  await assert.rejects(
    async () => {
      for (let i = 0; i < 100; i++) await again.writeStdin(new Uint8Array(65_536));
    },
    { data: { errno: "EPIPE" } },
  );
  const other = agent.adopt(fullPid);
  await other.started;
  // More than the credit: what is left of the first connection must not count.
  await other.writeStdin(new Uint8Array(600_000));
  await other.closeStdin();
  for await (const bytes of other.stdout) {
    const length = Number(Buffer.from(bytes).toString());
    assert.ok(length >= 600_000 && length <= 800_000, String(length));
    break;
  }
  again.cancel();
  other.cancel();
  await Promise.allSettled([again.exit, other.exit]);
});

test("there is an end to how many commands may be parked", { skip, timeout: 20_000 }, async () => {
  await using listening = await listenAgent();
  const { agent } = await listening.connect();
  const all = Array.from({ length: 64 }, () => agent.exec(parked("sleep 600")));
  await Promise.all(all.map((exec) => exec.started));
  await assert.rejects(agent.exec(parked("true")).exit, {
    data: { errno: "EAGAIN", detail: "starting it" },
  });
  assert.equal((await agent.exec(request(["true"])).exit).exitCode, 0);
  for (const exec of all) exec.cancel();
  await Promise.allSettled(all.map((exec) => exec.exit));
  await sleep(200);
  assert.equal((await agent.exec(parked("true")).exit).exitCode, 0);
});
