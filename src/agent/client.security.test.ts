import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AgentClient } from "./client.ts";
import type { Frame } from "./frames.ts";
import { FrameType, INITIAL_CREDIT_BYTES, MAX_PAYLOAD_BYTES } from "./protocol.ts";
import { ScriptedAgent } from "./testing/scripted-agent.ts";
import { transportPair } from "./testing/transport-pair.ts";
import { ValueWriter } from "./values.ts";

/** What a guest does on the stream of an exec, and must not. */
async function hostile(act: (agent: ScriptedAgent, stream: number) => void): Promise<void> {
  const [host, guest] = transportPair();
  const agent = new ScriptedAgent(guest);
  const client = await AgentClient.connect(host);
  const exec = client.exec({ argv: ["x"], env: [], stdin: true });
  const { stream } = await agent.next();
  act(agent, stream);
  await assert.rejects(exec.exit, { code: "AGENT_PROTOCOL" });
  assert.equal(((await client.closed) as { code?: string }).code, "AGENT_PROTOCOL");
}

const bad: Record<string, (stream: number) => (Partial<Frame> & Pick<Frame, "stream" | "type">)[]> = {
  "names a stream that is not open": () => [
    { stream: 4711, type: FrameType.STARTED, payload: new Uint8Array(4) },
  ],
  "starts twice": (stream) =>
    [1, 2].map(() => ({ stream, type: FrameType.STARTED, payload: new Uint8Array(4) })),
  "sends after the end of a channel": (stream) => [
    { stream, type: FrameType.EOF, channel: 1 },
    { stream, type: FrameType.DATA, channel: 1, payload: new Uint8Array(1) },
  ],
  "ends a channel twice": (stream) => [1, 2].map(() => ({ stream, type: FrameType.EOF, channel: 2 })),
  "grants credit that was not used": (stream) => [
    { stream, type: FrameType.CREDIT, payload: Uint8Array.of(1, 0, 0, 0) },
  ],
  "closes the input twice": (stream) => [1, 2].map(() => ({ stream, type: FrameType.INPUT_CLOSED })),
  "sends an unknown outcome": (stream) => [{ stream, type: FrameType.DONE, payload: Uint8Array.of(2) }],
  "sends a result that is too short": (stream) => [
    { stream, type: FrameType.DONE, payload: Uint8Array.of(0, 0) },
  ],
  "sends a result that is too long": (stream) => [
    { stream, type: FrameType.DONE, payload: new Uint8Array(6) },
  ],
  "sends an unknown kind of failure": (stream) => [
    { stream, type: FrameType.DONE, payload: new ValueWriter().u8(1).u8(200).u32(0).string("").finish() },
  ],
};

for (const [what, frames] of Object.entries(bad))
  test(`a guest that ${what} loses its connection`, () =>
    hostile((agent, stream) => {
      for (const frame of frames(stream)) agent.send(frame);
    }));

test("a guest that ignores its credit loses its connection, and what it sent is bounded", () =>
  hostile((agent, stream) => {
    for (let sent = 0; sent <= INITIAL_CREDIT_BYTES; sent += MAX_PAYLOAD_BYTES)
      agent.send({ stream, type: FrameType.DATA, channel: 1, payload: new Uint8Array(MAX_PAYLOAD_BYTES) });
  }));

test("a guest that never answers the version check is given up after a bound", async () => {
  const [host, guest] = transportPair();
  const connecting = AgentClient.connect(host);
  for (let i = 0; i < 20; i++) void guest.send(new Uint8Array(65_536)).catch(() => {});
  await assert.rejects(connecting, { code: "AGENT_PROTOCOL" });
});

test("any bytes after the version check end in an error of the API, never in another one", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 12, maxLength: 200 }), async (bytes) => {
      const [host, guest] = transportPair();
      const agent = new ScriptedAgent(guest);
      const client = await AgentClient.connect(host);
      const listing = client.list("/");
      await agent.next();
      agent.sendRaw(bytes);
      agent.close();
      const error = await listing.catch((reason) => reason);
      assert.match(error.code, /^(AGENT_PROTOCOL|MACHINE_EXITED)$/);
    }),
    { numRuns: 200 },
  );
});
