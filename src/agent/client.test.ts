import assert from "node:assert/strict";
import { test } from "node:test";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { AgentClient } from "./client.ts";
import { AgentLink } from "./link.ts";
import { FrameType, INITIAL_CREDIT_BYTES, MAX_PAYLOAD_BYTES, Operation, RequestPart } from "./protocol.ts";
import type { AgentTransport, ExecRequest } from "./requests.ts";
import { ScriptedAgent } from "./testing/scripted-agent.ts";
import { transportPair } from "./testing/transport-pair.ts";
import { ValueWriter } from "./values.ts";

const request: ExecRequest = { argv: ["x"], env: [], stdin: true };
const exitedWith = (code: number) => Uint8Array.of(0, 0, code, 0, 0);
const u32 = (value: number) => new ValueWriter().u32(value).finish();

async function connected(): Promise<{ client: AgentClient; agent: ScriptedAgent }> {
  const [host, guest] = transportPair();
  const agent = new ScriptedAgent(guest);
  return { client: await AgentClient.connect(host), agent };
}

test("AgentClient skips what an earlier connection left in the pipe", async () => {
  const [host, guest] = transportPair((bytes) => [...bytes].map((byte) => Uint8Array.of(byte)));
  void guest.send(new Uint8Array(5000).fill(0x53));
  new ScriptedAgent(guest);
  const client = await AgentClient.connect(host);
  client.close();
});

test("AgentClient names both versions when they differ", async () => {
  const [host, guest] = transportPair();
  new ScriptedAgent(guest, 77);
  await assert.rejects(AgentClient.connect(host), {
    code: "AGENT_PROTOCOL",
    message: /version 77, this host 4/,
  });
});

test("AgentClient gives up connecting when its transport is closed", async () => {
  const [host] = transportPair();
  const connecting = AgentClient.connect(host);
  host.close();
  await assert.rejects(connecting, { code: "MACHINE_EXITED" });
});

test("AgentClient reports a transport that breaks while it connects as the machine's end", async () => {
  const cause = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
  const broken: AgentTransport = {
    incoming: { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(cause) }) },
    send: async () => {},
    close: () => {},
  };
  await assert.rejects(AgentClient.connect(broken), { code: "MACHINE_EXITED", cause });
});

test("exec() delivers start, both outputs and exit", async () => {
  const { client, agent } = await connected();
  const exec = client.exec(request);
  const { stream, payload, channel } = await agent.next();
  assert.equal(payload[0], Operation.EXEC);
  assert.equal(channel, RequestPart.LAST);
  agent.send({ stream, type: FrameType.STARTED, payload: u32(42) });
  agent.send({ stream, type: FrameType.DATA, channel: 1, payload: Buffer.from("out") });
  agent.send({ stream, type: FrameType.DATA, channel: 2, payload: Buffer.from("err") });
  agent.send({ stream, type: FrameType.DONE, payload: exitedWith(3) });
  assert.equal(await exec.started, 42);
  assert.deepEqual(await exec.exit, { exitCode: 3, timedOut: false, outOfMemory: false });
  assert.equal(await text(exec.stdout), "out");
  assert.equal(await text(exec.stderr), "err");
});

test("a long request is split over frames", async () => {
  const { client, agent } = await connected();
  client.exec({ ...request, env: ["x".repeat(200_000)] });
  const parts = [await agent.next(), await agent.next(), await agent.next(), await agent.next()];
  assert.deepEqual(
    parts.map((part) => part.channel),
    [RequestPart.MORE, RequestPart.MORE, RequestPart.MORE, RequestPart.LAST],
  );
});

test("writeStdin() stops at the credit and goes on when more is granted", async () => {
  const { client, agent } = await connected();
  const exec = client.exec(request);
  const { stream } = await agent.next();
  let written = false;
  const writing = exec.writeStdin(new Uint8Array(INITIAL_CREDIT_BYTES + 5)).then(() => {
    written = true;
  });
  for (let length = 0; length < INITIAL_CREDIT_BYTES; ) {
    const { payload } = await agent.nextOf(FrameType.DATA);
    assert.ok(payload.length <= MAX_PAYLOAD_BYTES);
    length += payload.length;
  }
  await Promise.resolve();
  assert.equal(written, false);
  agent.send({ stream, type: FrameType.CREDIT, payload: u32(1000) });
  assert.equal((await agent.nextOf(FrameType.DATA)).payload.length, 5);
  await writing;
});

test("writeStdin() rejects with EPIPE when the command closed its stdin", async () => {
  const { client, agent } = await connected();
  const exec = client.exec(request);
  const { stream } = await agent.next();
  const writing = exec.writeStdin(new Uint8Array(INITIAL_CREDIT_BYTES + 1));
  agent.send({ stream, type: FrameType.INPUT_CLOSED });
  await assert.rejects(writing, { data: { errno: "EPIPE" } });
});

test("output that is read is granted again, output that is not read is not", async () => {
  const { client, agent } = await connected();
  const exec = client.exec(request);
  const { stream } = await agent.next();
  const piece = new Uint8Array(MAX_PAYLOAD_BYTES);
  for (let sent = 0; sent < INITIAL_CREDIT_BYTES; sent += piece.length) {
    agent.send({ stream, type: FrameType.DATA, channel: 1, payload: piece });
    agent.send({ stream, type: FrameType.DATA, channel: 2, payload: piece });
  }
  const reader = exec.stdout[Symbol.asyncIterator]();
  for (let read = 0; read < INITIAL_CREDIT_BYTES; read += piece.length) await reader.next();
  let granted = 0;
  while (granted < INITIAL_CREDIT_BYTES) {
    const credit = await agent.nextOf(FrameType.CREDIT);
    assert.equal(credit.channel, 1);
    granted += new DataView(credit.payload.buffer, credit.payload.byteOffset).getUint32(0, true);
  }
});

test("cancel() rejects at once and the late frames of the command are dropped", async () => {
  const { client, agent } = await connected();
  const exec = client.exec(request);
  const { stream } = await agent.next();
  exec.cancel();
  await assert.rejects(exec.exit, { code: "ABORTED" });
  await agent.nextOf(FrameType.CANCEL);
  agent.send({ stream, type: FrameType.DATA, channel: 1, payload: new Uint8Array(9) });
  agent.send({ stream, type: FrameType.DONE, payload: Uint8Array.of(1, 9, 0, 0, 0, 0, 0, 0, 0, 0) });
  const next = client.exec(request);
  const second = await agent.nextOf(FrameType.REQUEST);
  agent.send({ stream: second.stream, type: FrameType.DONE, payload: exitedWith(0) });
  assert.equal((await next.exit).exitCode, 0);
});

test("everything under way fails with one reason when the connection ends", async () => {
  const { client, agent } = await connected();
  const exec = client.exec(request);
  const stat = client.stat("/x");
  agent.close();
  await assert.rejects(exec.exit, { code: "MACHINE_EXITED" });
  await assert.rejects(stat, { code: "MACHINE_EXITED" });
  assert.equal(((await client.closed) as { code?: string }).code, "MACHINE_EXITED");
  assert.throws(() => client.exec(request), { code: "MACHINE_EXITED" });
});

test("a transport that breaks, whatever it says, means that the guest is gone", async () => {
  const [host, guest] = transportPair();
  new ScriptedAgent(guest);
  async function* incoming() {
    for await (const bytes of host.incoming) {
      yield bytes;
      throw new SupermachineError("CONNECTION_LOST", "The guest's driver went away");
    }
  }
  const client = await AgentClient.connect({ ...host, incoming: incoming() });
  await assert.rejects(client.exec(request).exit, { code: "MACHINE_EXITED" });
});

test("everything under way fails with the reason that the connection is closed with", async () => {
  const [host, guest] = transportPair();
  new ScriptedAgent(guest);
  const link = await AgentLink.connect(host);
  const client = new AgentClient(link);
  const exec = client.exec(request);
  const reason = new Error("no more");
  link.close(reason);
  await assert.rejects(exec.exit, reason);
  await assert.rejects(client.stat("/"), reason);
});

test("a link tells how many operations are under way, until all have ended or it is lost", async () => {
  const [host, guest] = transportPair();
  const agent = new ScriptedAgent(guest);
  const told: number[] = [];
  const link = await AgentLink.connect(host, { onOperations: (underWay) => told.push(underWay) });
  const client = new AgentClient(link);
  assert.deepEqual(told, []);
  const first = client.exec(request);
  const second = client.exec(request);
  const { stream } = await agent.next();
  agent.send({ stream, type: FrameType.DONE, payload: exitedWith(0) });
  await first.exit;
  assert.deepEqual(told, [1, 2, 1]);
  link.close(new Error("no more"));
  await assert.rejects(second.exit);
  assert.throws(() => client.exec(request));
  assert.deepEqual(told, [1, 2, 1, 0]);
});

test("failures become the error codes of the API", async () => {
  const { client, agent } = await connected();
  const failing = async (kind: number, errno: number, detail: string) => {
    const exec = client.exec(request);
    const { stream } = await agent.next();
    const payload = new ValueWriter().u8(1).u8(kind).u32(errno).string(detail).finish();
    agent.send({ stream, type: FrameType.DONE, payload });
    return exec.exit.then(
      () => assert.fail(),
      (error: { code: string }) => error.code,
    );
  };
  assert.equal(await failing(2, 2, "x"), "COMMAND_NOT_FOUND");
  assert.equal(await failing(3, 13, "x"), "COMMAND_NOT_EXECUTABLE");
  assert.equal(await failing(4, 0, "x"), "USER_NOT_FOUND");
  assert.equal(await failing(5, 2, "/x"), "WORKING_DIRECTORY");
  assert.equal(await failing(6, 0, "x"), "ARCHIVE_INVALID");
});

async function text(stream: AsyncIterable<Uint8Array>): Promise<string> {
  let all = "";
  for await (const bytes of stream) all += Buffer.from(bytes).toString();
  return all;
}
