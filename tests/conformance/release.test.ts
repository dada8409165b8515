import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { gsi } from "../../src/hypervisor/irq-line.ts";
import { KvmHypervisor } from "../../src/hypervisor/kvm/device.ts";
import { gpa } from "../../src/memory/address.ts";
import { Mapping } from "../../src/sys/linux/mapping.ts";
import { openResources } from "../../src/sys/open-resources.ts";
import { skip } from "./guest.ts";

function useEverything(): void {
  const hypervisor = new KvmHypervisor();
  using memory = Mapping.anonymous(0x1_0000);
  using vm = hypervisor.createVm();
  vm.addMemory(gpa(0), memory).logDirty();
  vm.irqLine(gsi(5));
  vm.doorbell(gpa(0x10_0000), { width: 4 });
  using vcpu = hypervisor.openVcpu(vm.createVcpu(0));
  vcpu.configure({ index: 0, count: 1 });
  vm.createVcpu(1);
}

test("a machine releases every descriptor and mapping, two hundred times in a row", { skip }, () => {
  useEverything();
  const before = openResources();
  const descriptors = readdirSync("/proc/self/fd").length;
  for (let count = 0; count < 200; count += 1) useEverything();
  assert.deepEqual(openResources(), before);
  assert.equal(readdirSync("/proc/self/fd").length, descriptors);
});

test("what a machine handed out can be released before it, after it, and twice", { skip }, () => {
  const before = openResources();
  const vm = new KvmHypervisor().createVm();
  const memory = Mapping.anonymous(0x1000);
  const slot = vm.addMemory(gpa(0), memory);
  const line = vm.irqLine(gsi(5));
  const bell = vm.doorbell(gpa(0x10_0000), { width: 4 });
  line[Symbol.dispose]();
  for (const thing of [vm, vm, slot, line, bell, memory, memory]) thing[Symbol.dispose]();
  assert.deepEqual(openResources(), before);
});

test("a request that the kernel refuses names it, and leaves nothing behind", { skip }, () => {
  using vm = new KvmHypervisor().createVm();
  using memory = Mapping.anonymous(0x1000);
  vm.createVcpu(0);
  const before = openResources();
  assert.throws(() => vm.createVcpu(0), {
    code: "HYPERVISOR",
    message: "ioctl KVM_CREATE_VCPU failed: EEXIST",
  });
  assert.throws(() => vm.addMemory(gpa(0x10), memory), {
    message: /KVM_SET_USER_MEMORY_REGION failed: EINVAL/,
  });
  assert.deepEqual(vm.memory.regions, []);
  assert.deepEqual(openResources(), before);
});
