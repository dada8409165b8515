import assert from "node:assert/strict";
import { test } from "node:test";
import { AgentClient } from "../../src/agent/client.ts";
import { duplexTransport } from "../../src/agent/transports/duplex.ts";
import { qemuEngine } from "../../src/engine/qemu/engine.ts";
import { freshIdentity } from "../../src/machine/guest-identity.ts";
import { TestGuest } from "./guest.ts";

test("a guest drops its caches, frozen as well, whatever it has mounted over /proc", async () => {
  using guest = new TestGuest();
  await using machine = await qemuEngine.start(await guest.config());
  const agent = await AgentClient.connect(duplexTransport(await machine.agent));
  await agent.setup({ ...machine.devices, identity: freshIdentity("box"), volumes: [] });
  const run = async (script: string): Promise<string> => {
    const exec = agent.exec({
      argv: ["/bin/busybox", "sh", "-c", script],
      env: ["PATH=/bin"],
      stdin: false,
    });
    let text = "";
    for await (const bytes of exec.stdout) text += Buffer.from(bytes).toString();
    assert.deepEqual((await exec.exit).exitCode, 0, script);
    return text;
  };
  const cachedKiB = async (): Promise<number> =>
    Number(await run("busybox awk '/^Buffers/ { print $2 }' /proc/meminfo"));

  await run("busybox mount -o bind /dev/null /proc/sys/vm/drop_caches");
  // A device is read through the cache: the root's, all of it.
  const fill = async (): Promise<void> => {
    await run(`busybox dd if=${machine.devices.rootDevice} of=/dev/null bs=64k 2>/dev/null`);
    assert.ok((await cachedKiB()) >= 500, "nothing is cached");
  };
  await fill();
  await agent.reclaim(1);
  assert.ok((await cachedKiB()) < 500);
  await fill();
  await agent.freeze({ timeoutMs: 10_000 });
  await agent.reclaim(1);
  await agent.thaw();
  assert.ok((await cachedKiB()) < 500);
});
