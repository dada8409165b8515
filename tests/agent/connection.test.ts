import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { AgentClient } from "../../src/agent/client.ts";
import { encodeFrame } from "../../src/agent/frames.ts";
import { AgentLink } from "../../src/agent/link.ts";
import { encodePreamble } from "../../src/agent/preamble.ts";
import { FrameType, PROTOCOL_VERSION } from "../../src/agent/protocol.ts";
import { AgentRouter } from "../../src/agent/router.ts";
import { transportPair } from "../../src/agent/testing/transport-pair.ts";
import { duplexTransport } from "../../src/agent/transports/duplex.ts";
import { freshIdentity } from "../../src/machine/guest-identity.ts";
import { collect, finish, request, type ServedAgent, serveAgent, startAgent, whyNot } from "./serve-agent.ts";

const skip = whyNot() ?? false;
let served: ServedAgent;
before(async () => {
  if (skip === false) served = await serveAgent();
});
after(async () => {
  if (skip === false) await served[Symbol.asyncDispose]();
});

/** Not a zombie either: after the agent's own end nobody may have reaped it. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

async function serveTcp(onConnection: (socket: Socket) => void): Promise<{ port: number; close(): void }> {
  const server = createServer({ allowHalfOpen: true }, onConnection).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as { port: number }).port, close: () => server.close() };
}

test("connect() carries bytes both ways and keeps half closes", { skip, timeout: 20_000 }, async () => {
  const server = await serveTcp((socket) => {
    let length = 0;
    socket.on("data", (bytes) => {
      length += bytes.length;
    });
    // Answers only after the other side has ended.
    socket.on("end", () => socket.end(`got ${length}`));
  });
  const connection = await served.agent.connect(server.port);
  await connection.write(randomBytes(3_000_000));
  await connection.end();
  assert.equal((await collect(connection.incoming)).toString(), "got 3000000");
  server.close();
});

test("connect() delivers many MiB to a slow reader", { skip, timeout: 20_000 }, async () => {
  const bytes = randomBytes(8 << 20);
  const server = await serveTcp((socket) => socket.end(bytes));
  const connection = await served.agent.connect(server.port);
  await sleep(100);
  assert.ok((await collect(connection.incoming)).equals(bytes));
  await connection.end();
  server.close();
});

test("connect() to a port where nobody listens is refused", { skip }, async () => {
  const server = await serveTcp(() => {});
  server.close();
  await sleep(20);
  await assert.rejects(served.agent.connect(server.port), { data: { errno: "ECONNREFUSED" } });
});

test("a lost connection ends the commands of its session", { skip }, async () => {
  await using lost = await serveAgent();
  const exec = lost.agent.exec(request(["sleep", "61.5"]));
  const pid = await exec.started;
  lost.stream.destroy();
  await assert.rejects(exec.exit, { code: "MACHINE_EXITED" });
  await sleep(200);
  assert.ok(!isRunning(pid));
});

test("the agent drops a host that breaks the protocol", { skip }, async () => {
  await using started = startAgent();
  const { stream } = started;
  const answer = once(stream, "data");
  stream.write(Buffer.from("noise from before"));
  stream.write(encodePreamble({ version: PROTOCOL_VERSION, nonce: new Uint8Array(16).fill(9) }));
  assert.equal(((await answer) as [Buffer])[0].length, 32);
  stream.write(encodeFrame({ stream: 1, type: FrameType.STARTED, channel: 0, payload: new Uint8Array(4) }));
  await once(stream, "end");
});

test("the agent answers another version with its own", { skip }, async () => {
  await using started = startAgent();
  const answer = once(started.stream, "data");
  started.stream.write(encodePreamble({ version: 99, nonce: new Uint8Array(16) }));
  const [bytes] = (await answer) as [Buffer];
  assert.equal(bytes.readUInt32LE(8), PROTOCOL_VERSION);
});

test("a request byte by byte is understood", { skip, timeout: 20_000 }, async () => {
  await using started = startAgent();
  const transport = duplexTransport(started.stream);
  const agent = await AgentClient.connect({
    ...transport,
    incoming: transport.incoming,
    async send(bytes) {
      for (const byte of bytes) await transport.send(Uint8Array.of(byte));
    },
  });
  assert.equal((await finish(agent.exec(request(["echo", "ok"])))).stdout, "ok\n");
});

test("a router's clients work side by side on one agent", { skip, timeout: 30_000 }, async () => {
  await using started = startAgent();
  const link = await AgentLink.connect(duplexTransport(started.stream));
  const router = new AgentRouter(link);
  const client = async () => {
    const [near, far] = transportPair();
    router.attach(far);
    return { agent: await AgentClient.connect(near), transport: near };
  };
  const own = new AgentClient(link);
  const [one, two] = [await client(), await client()];

  const results = await Promise.all(
    [own, one.agent, two.agent].map((agent, i) =>
      finish(agent.exec(request(["sh", "-c", `seq ${i} 20000 | md5sum; echo ${i}`]))),
    ),
  );
  for (const [i, { stdout }] of results.entries()) assert.equal(stdout.split("\n")[1], String(i));

  // 16 MiB through a client, while another reads nothing.
  const stalled = two.agent.exec(request(["yes"]));
  await stalled.started;
  const echo = one.agent.exec(request(["cat"], { stdin: true }));
  const bytes = randomBytes(16 << 20);
  const writing = echo.writeStdin(bytes).then(() => echo.closeStdin());
  assert.ok((await collect(echo.stdout)).equals(bytes));
  await writing;

  // A client that goes takes its commands along, and nobody else's.
  const staying = one.agent.exec(request(["sleep", "0.5"]));
  const pid = await stalled.started;
  two.agent.close();
  await sleep(200);
  assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
  assert.equal((await staying.exit).exitCode, 0);

  // So does one that breaks the protocol.
  const [near, far] = transportPair();
  router.attach(far);
  await near.send(encodePreamble({ version: PROTOCOL_VERSION, nonce: new Uint8Array(16) }));
  await near.send(encodeFrame({ stream: 1, type: FrameType.DONE, channel: 0, payload: new Uint8Array(1) }));
  const rest = await collect(near.incoming);
  assert.equal(rest.length, 32);
  assert.equal((await own.exec(request(["true"])).exit).exitCode, 0);

  link.close();
  assert.equal(((await one.agent.closed) as { code?: string }).code, "MACHINE_EXITED");
});

test("a router's client cannot ask what is the owner's, nor leave a command behind", { skip }, async () => {
  await using started = startAgent();
  const link = await AgentLink.connect(duplexTransport(started.stream));
  const router = new AgentRouter(link);
  const open = async () => {
    const [near, far] = transportPair();
    router.attach(far);
    return AgentClient.connect(near);
  };
  const identity = freshIdentity("box");
  const setup = { modules: [], rootDevice: "", dax: false, identity, volumes: [] };
  const refused: Record<string, (agent: AgentClient) => Promise<unknown>> = {
    setup: (agent) => agent.setup(setup),
    freeze: (agent) => agent.freeze({ timeoutMs: 1000 }),
    renew: (agent) => agent.renew(identity),
    thaw: (agent) => agent.thaw(),
    adopt: (agent) => agent.adopt(1).exit,
    reclaim: (agent) => agent.reclaim(1),
    "parked exec": (agent) => agent.exec(request(["true"], { parked: true })).exit,
  };
  for (const [what, ask] of Object.entries(refused))
    await assert.rejects(ask(await open()), { code: "MACHINE_EXITED" }, what);
  const last = await open();
  assert.equal((await last.exec(request(["true"])).exit).exitCode, 0);
  link.close();
});
