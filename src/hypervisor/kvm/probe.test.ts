import assert from "node:assert/strict";
import { test } from "node:test";
import { openResources } from "../../sys/open-resources.ts";
import { probeKvm } from "./probe.ts";

test("probeKvm() says that there is no device, and what to do", () => {
  const support = probeKvm("/dev/no-such-kvm");
  assert.equal(support.usable, false);
  assert.match(support.reason, /There is no \/dev\/no-such-kvm/);
  assert.match(support.remedy, /firmware/);
});

test("probeKvm() says that a device is not KVM", () => {
  const support = probeKvm("/dev/null");
  assert.equal(support.usable, false);
  assert.match(support.reason, /is not KVM: ENOTTY/);
});

test("probeKvm() answers for the real device and leaves nothing open", () => {
  probeKvm();
  const before = openResources();
  const support = probeKvm();
  assert.equal(typeof support.usable, "boolean");
  assert.deepEqual(openResources(), before);
});
