import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as abi from "../../abi/kvm.x64.generated.ts";
import { ExitDecoder } from "./exit-decoder.ts";

const pageLength = 0x3000;

function fresh(): { run: abi.KvmRun; decoder: ExitDecoder; page: ArrayBuffer } {
  const page = new ArrayBuffer(pageLength);
  return { page, run: new abi.KvmRun(new DataView(page)), decoder: new ExitDecoder(page) };
}

test("decode() makes no new objects for one access after the other", () => {
  const { run, decoder } = fresh();
  run.exitReason = abi.KVM_EXIT_MMIO;
  run.mmioPhysAddr = 0x1_2345_6789;
  run.mmioLen = 4;
  const first = decoder.decode();
  const data = first.kind === "mmio-read" && first.data;
  const second = decoder.decode();
  assert.equal(first, second);
  assert.equal(second.kind === "mmio-read" && second.data, data);
  assert.equal(second.kind === "mmio-read" && second.address, 0x1_2345_6789);
});

test("what is written into a read's data is what the kernel finds", () => {
  const { run, decoder, page } = fresh();
  run.exitReason = abi.KVM_EXIT_IO;
  run.ioDirection = abi.KVM_EXIT_IO_IN;
  run.ioSize = 2;
  run.ioCount = 3;
  run.ioDataOffset = 0x1000;
  const exit = decoder.decode();
  assert.equal(exit.kind, "pio-in");
  if ("data" in exit) exit.data.set([1, 2, 3, 4, 5, 6]);
  assert.deepEqual(new Uint8Array(page, 0x1000, 7), Uint8Array.of(1, 2, 3, 4, 5, 6, 0));
});

test("a guest that cannot go on is reported with the kernel's details", () => {
  const { run, decoder } = fresh();
  const detail = (): unknown => {
    const exit = decoder.decode();
    return exit.kind === "failed" && exit.detail;
  };
  run.exitReason = abi.KVM_EXIT_INTERNAL_ERROR;
  run.internalSuberror = abi.KVM_INTERNAL_ERROR_EMULATION;
  run.internalNdata = 2;
  run.view.setBigUint64(abi.KvmRun.internalDataOffset, 0xabcn, true);
  assert.equal(detail(), "KVM internal error 1 (an instruction could not be emulated); data abc 0");
  run.exitReason = abi.KVM_EXIT_FAIL_ENTRY;
  run.failEntryHardwareEntryFailureReason = 0x8000_0021n;
  assert.equal(detail(), "KVM could not enter the guest: hardware reason 0x80000021");
  run.exitReason = 12345;
  assert.equal(detail(), "KVM exit reason 12345 is not supported");
});

test("system events and triple faults are told apart", () => {
  const { run, decoder } = fresh();
  run.exitReason = abi.KVM_EXIT_SHUTDOWN;
  assert.equal(decoder.decode().kind, "triple-fault");
  run.exitReason = abi.KVM_EXIT_SYSTEM_EVENT;
  run.systemEventType = abi.KVM_SYSTEM_EVENT_SHUTDOWN;
  assert.equal(decoder.decode().kind, "shutdown");
  run.systemEventType = abi.KVM_SYSTEM_EVENT_RESET;
  assert.equal(decoder.decode().kind, "reset");
});

test("no contents of the shared page make decode() throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 128, maxLength: 128 }), fc.nat(40), (bytes, reason) => {
      const { run, decoder, page } = fresh();
      new Uint8Array(page).set(bytes);
      run.exitReason = reason;
      assert.equal(typeof decoder.decode().kind, "string");
    }),
  );
});
