import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import type { AgentTransport } from "../agent/requests.ts";
import { ControlServer } from "./control-server.ts";
import { TemporaryHome } from "./testing/temporary-home.ts";
import type { MachineExit } from "./types.ts";

const attach = async (transport: AgentTransport): Promise<void> => {
  for await (const bytes of transport.incoming) await transport.send(bytes);
  transport.close();
};

const stopped: MachineExit = { reason: "stopped" };

async function served(run: (path: string, asked: string[]) => Promise<void>): Promise<void> {
  using home = new TemporaryHome();
  const path = join(home.root, "control.sock");
  const asked: string[] = [];
  const answer = (name: string) => async () => {
    asked.push(name);
    return stopped;
  };
  const signal = async () => void asked.push("signal");
  const reset = async () => void asked.push("reset");
  const exits = () => ({ halt: 3 });
  const snapshot = async () => {
    asked.push("snapshot");
    return "0".repeat(64);
  };
  const limitMemory = async () => 64;
  const ends = { wait: answer("wait"), stop: answer("stop"), kill: answer("kill") };
  const others = { signal, reset, limitMemory, snapshot, exits, attach };
  const server = await ControlServer.listen(path, { ...ends, ...others });
  await run(path, asked);
  server.close();
}

function talk(path: string, bytes: string | Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(path, () => socket.end(bytes));
    socket.on("data", (chunk) => {
      text += chunk;
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
  });
}

test("only the owner of the machine can open its control socket", async () => {
  await served(async (path) => {
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });
});

test("a request is answered once; what is not understood is refused and changes nothing", async () => {
  await served(async (path, asked) => {
    assert.deepEqual(
      JSON.parse(await talk(path, '{"supermachine":1,"channel":"monitor","request":"wait"}\n')),
      {
        result: stopped,
      },
    );
    const refused = [
      "\n",
      "null\n",
      "GET / HTTP/1.1\r\n\r\n",
      '{"supermachine":2,"channel":"monitor","request":"kill"}\n',
      '{"supermachine":1,"channel":"monitor","request":"__proto__"}\n',
      '{"supermachine":1,"channel":"monitor","request":"stop","timeoutMs":-1}\n',
      '{"supermachine":1,"channel":"monitor","request":"stop","timeoutMs":"1"}\n',
    ];
    for (const line of refused)
      assert.equal(JSON.parse(await talk(path, line)).error.code, "INVALID_ARGUMENT", line);
    assert.deepEqual(
      JSON.parse(await talk(path, '{"supermachine":1,"channel":"monitor","request":"exits"}\n')),
      {
        result: { halt: 3 },
      },
    );
    assert.deepEqual(asked, ["wait"]);
  });
});

test("a client that sends no line, or one without end, is dropped", async () => {
  await served(async (path, asked) => {
    assert.match(await talk(path, ""), /MACHINE_EXITED|^$/);
    assert.match(await talk(path, "x".repeat(1024 * 1024)), /MACHINE_EXITED|^$/);
    assert.deepEqual(asked, []);
  });
});

test("what follows the first line in the same packet belongs to the agent's channel", async () => {
  await served(async (path) => {
    const hello = '{"supermachine":1,"channel":"agent"}\n';
    assert.equal(await talk(path, `${hello}first bytes`), '{"ok":true}\nfirst bytes');
  });
});
