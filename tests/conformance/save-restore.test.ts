import assert from "node:assert/strict";
import { test } from "node:test";
import { gsi } from "../../src/hypervisor/irq-line.ts";
import { decodeMsrs } from "../../src/hypervisor/kvm/x64/msrs.ts";
import { type BackendState, encodeState, parseState } from "../../src/hypervisor/state.ts";
import type { Vcpu } from "../../src/hypervisor/vcpu.ts";
import { dataAt, type Guest, openGuest, skip } from "./guest.ts";

// biome-ignore format: one instruction per line
const code = [
  0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, // mov rax, 0x0807060504030201
  0x49, 0xbf, 8, 7, 6, 5, 4, 3, 2, 1, // mov r15, 0x0102030405060708
  0x50,                               // push rax
  0xb9, 0x82, 0x00, 0x00, 0xc0,       // mov ecx, 0xc0000082   LSTAR
  0xba, 0x44, 0x33, 0x00, 0x00,       // mov edx, 0x3344
  0xb8, 0x66, 0x55, 0x00, 0x00,       // mov eax, 0x5566
  0x0f, 0x30,                         // wrmsr
  0xe6, 0x10,                         // out 0x10, al          saved here
  0x58,                               // pop rax
  0x48, 0x89, 0x06,                   // mov [rsi], rax
  0x4c, 0x89, 0x7e, 0x08,             // mov [rsi + 8], r15
  0x0f, 0x32,                         // rdmsr
  0x89, 0x46, 0x10,                   // mov [rsi + 16], eax
  0x89, 0x56, 0x14,                   // mov [rsi + 20], edx
  0xe6, 0x11,                         // out 0x11, al
];
const options = { code, mode: "long", kernelIrqChip: true, registers: { rsi: BigInt(dataAt) } } as const;

/** Registers that go on counting: TSC, MPERF, APERF, deadline, and two of the Hyper-V interface. */
const clocks = new Set([0x10, 0xe7, 0xe8, 0x6e0, 0x4000_0010, 0x4000_0020]);

function runToSavePoint(guest: Guest): Vcpu {
  const vcpu = guest.vcpu();
  assert.equal(vcpu.run().kind, "pio-out");
  vcpu.requestExit();
  assert.equal(vcpu.run().kind, "interrupted");
  return vcpu;
}

/** Through bytes, as a snapshot file would. */
function stored(state: BackendState): BackendState {
  return parseState(encodeState(state));
}

test("a vCPU's state put into a fresh machine is the same there, and the guest goes on", { skip }, (t) => {
  const first = openGuest(t, options);
  const saved = stored(runToSavePoint(first).save());

  const second = openGuest(t, { ...options, code: [] });
  second.bytes.set(first.bytes);
  const vcpu = second.hypervisor.openVcpu(second.tickets[0]!);
  vcpu.restore(saved);
  const again = vcpu.save();
  for (const name of [
    "cpuid",
    "mp-state",
    "regs",
    "sregs",
    "xsave",
    "xcrs",
    "debugregs",
    "events",
    "tsc-khz",
  ])
    assert.deepEqual(again.chunks.get(name), saved.chunks.get(name), name);
  const msrs = (state: BackendState) =>
    decodeMsrs(state.chunks.get("msrs")!).filter(([index]) => !clocks.has(index));
  assert.deepEqual(msrs(again), msrs(saved));
  assert.ok(msrs(saved).some(([index, value]) => index === 0xc000_0082 && value === 0x3344_0000_5566n));

  const exit = vcpu.run();
  assert.equal(exit.kind === "pio-out" && exit.port, 0x11);
  const result = new DataView(second.bytes.buffer, dataAt);
  assert.equal(result.getBigUint64(0, true), 0x0807060504030201n);
  assert.equal(result.getBigUint64(8, true), 0x0102030405060708n);
  assert.equal(result.getBigUint64(16, true), 0x3344_0000_5566n);
});

test("interrupt controllers, timer and clock put into a fresh machine are the same there", { skip }, (t) => {
  const first = openGuest(t, options);
  runToSavePoint(first);
  using line = first.vm.irqLine(gsi(5));
  line.set(true);
  const saved = stored(first.vm.save());
  const second = openGuest(t, options);
  const fresh = second.vm.save();
  second.vm.restore(saved);
  const again = second.vm.save();
  for (const name of ["pic-master", "pic-slave", "ioapic"])
    assert.deepEqual(again.chunks.get(name), saved.chunks.get(name), name);
  assert.notDeepEqual(fresh.chunks.get("ioapic"), saved.chunks.get("ioapic"));
  const clock = (state: BackendState) =>
    new DataView(state.chunks.get("clock")!.buffer).getBigUint64(0, true);
  assert.ok(clock(again) >= clock(saved));
  assert.ok(clock(again) - clock(saved) < 1_000_000_000n, "the clock goes on from where it stood");
});

test("foreign and damaged states are refused before anything is changed", { skip }, (t) => {
  const guest = openGuest(t, options);
  const vcpu = runToSavePoint(guest);
  const saved = vcpu.save();
  const damaged = (name: string, bytes?: Uint8Array): BackendState => {
    const chunks = new Map(saved.chunks);
    chunks.delete(name);
    if (bytes !== undefined) chunks.set(name, bytes);
    return { ...saved, chunks };
  };
  const refused = { code: "HYPERVISOR", message: /saved machine state/ };
  assert.throws(() => vcpu.restore({ ...saved, backend: "hvf" }), refused);
  assert.throws(() => vcpu.restore(guest.vm.save()), refused);
  assert.throws(() => guest.vm.restore(saved), refused);
  for (const name of saved.chunks.keys()) {
    assert.throws(() => vcpu.restore(damaged(name)), refused, name);
    assert.throws(() => vcpu.restore(damaged(name, new Uint8Array(3))), refused, name);
  }
  const overlong = saved.chunks.get("msrs")!.slice();
  new DataView(overlong.buffer).setUint32(0, 0xffff_ffff, true);
  assert.throws(() => vcpu.restore(damaged("msrs", overlong)), refused);
  assert.deepEqual(vcpu.save().chunks.get("regs"), saved.chunks.get("regs"));
});
