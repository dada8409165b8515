import assert from "node:assert/strict";
import { test } from "node:test";
import { dataAt, deviceAt, openGuest, skip } from "./guest.ts";

// biome-ignore format: one instruction per line
const code = [
  0xc6, 0x07, 0x11,                         // mov byte [rdi], 0x11
  0x66, 0xc7, 0x47, 0x08, 0x22, 0x22,       // mov word [rdi + 8], 0x2222
  0xc7, 0x47, 0x10, 0x33, 0x33, 0x33, 0x33, // mov dword [rdi + 16], 0x33333333
  0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8,       // mov rax, 0x0807060504030201
  0x48, 0x89, 0x47, 0x18,                   // mov [rdi + 24], rax
  0x8a, 0x47, 0x20,                         // mov al, [rdi + 32]
  0x88, 0x06,                               // mov [rsi], al
  0x66, 0x8b, 0x47, 0x22,                   // mov ax, [rdi + 34]
  0x66, 0x89, 0x46, 0x08,                   // mov [rsi + 8], ax
  0x8b, 0x47, 0x24,                         // mov eax, [rdi + 36]
  0x89, 0x46, 0x10,                         // mov [rsi + 16], eax
  0x48, 0x8b, 0x47, 0x28,                   // mov rax, [rdi + 40]
  0x48, 0x89, 0x46, 0x18,                   // mov [rsi + 24], rax
  0xf4,                                     // hlt
];

test("accesses outside memory exit with address and data of every width", { skip }, (t) => {
  const registers = { rdi: BigInt(deviceAt), rsi: BigInt(dataAt) };
  const guest = openGuest(t, { code, mode: "long", registers });
  const vcpu = guest.vcpu();
  const seen: unknown[] = [];
  for (;;) {
    const exit = vcpu.run();
    if (exit.kind !== "mmio-read" && exit.kind !== "mmio-write") {
      seen.push(exit.kind);
      break;
    }
    if (exit.kind === "mmio-read") for (const index of exit.data.keys()) exit.data[index] = 0xa0 + index;
    seen.push([exit.kind, exit.address - deviceAt, [...exit.data]]);
  }
  const answer = [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7];
  assert.deepEqual(seen, [
    ["mmio-write", 0, [0x11]],
    ["mmio-write", 8, [0x22, 0x22]],
    ["mmio-write", 16, [0x33, 0x33, 0x33, 0x33]],
    ["mmio-write", 24, [1, 2, 3, 4, 5, 6, 7, 8]],
    ["mmio-read", 32, answer.slice(0, 1)],
    ["mmio-read", 34, answer.slice(0, 2)],
    ["mmio-read", 36, answer.slice(0, 4)],
    ["mmio-read", 40, answer],
    "halt",
  ]);
  assert.deepEqual([...guest.bytes.subarray(dataAt + 24, dataAt + 32)], answer);
  assert.deepEqual([...guest.bytes.subarray(dataAt + 16, dataAt + 20)], answer.slice(0, 4));
  assert.deepEqual([...guest.bytes.subarray(dataAt + 8, dataAt + 10)], answer.slice(0, 2));
  assert.equal(guest.bytes[dataAt], 0xa0);
});
