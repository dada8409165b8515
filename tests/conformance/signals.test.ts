import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { KvmHypervisor } from "../../src/hypervisor/kvm/device.ts";
import { openResources } from "../../src/sys/open-resources.ts";
import { skip } from "./guest.ts";

test("signals to the program around us, such as a terminal's, fail neither a probe nor a VM", {
  skip,
}, async () => {
  let heard = 0;
  const onSignal = (): void => {
    heard += 1;
  };
  process.on("SIGWINCH", onSignal);
  // Bounded, should nobody end it. The shell's own `kill`, because a process per signal would be too slow.
  const loop = `i=0; echo go; while [ $i -lt 2000000 ]; do kill -WINCH ${process.pid} || exit; i=$((i+1)); done`;
  const sender = spawn("sh", ["-c", loop], { stdio: ["ignore", "pipe", "ignore"] });
  try {
    await once(sender.stdout, "data");
    const hypervisor = new KvmHypervisor();
    const before = openResources();
    const usable = hypervisor.probe().usable;
    for (let count = 0; count < 40; count++) {
      assert.equal(hypervisor.probe().usable, usable);
      using vm = hypervisor.createVm();
      vm.createVcpu(0);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.deepEqual(openResources(), before);
    assert.ok(heard > 0);
  } finally {
    sender.kill("SIGKILL");
    process.off("SIGWINCH", onSignal);
  }
});
