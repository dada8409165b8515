import assert from "node:assert/strict";
import { test } from "node:test";
import { openGuest, skip } from "./guest.ts";

// biome-ignore format: one instruction per line
const code = [
  0xba, 0xf8, 0x03, // mov dx, 0x3f8
  0xb0, 0x41,       // mov al, 'A'
  0xee,             // out dx, al
  0xec,             // in al, dx
  0x04, 0x01,       // add al, 1
  0xee,             // out dx, al
  0xed,             // in ax, dx
  0x66, 0xef,       // out dx, eax
  0x66, 0xed,       // in eax, dx
  0x66, 0xef,       // out dx, eax
  0xf4,             // hlt
];

test("port accesses of every width exit with port and data, and reads return what was filled in", {
  skip,
}, (t) => {
  const vcpu = openGuest(t, { code, mode: "real" }).vcpu();
  const seen: unknown[] = [];
  for (;;) {
    const exit = vcpu.run();
    if (exit.kind !== "pio-in" && exit.kind !== "pio-out") {
      seen.push(exit.kind);
      break;
    }
    if (exit.kind === "pio-in") exit.data.set([0x71, 0x72, 0x73, 0x74].slice(0, exit.width));
    seen.push([exit.kind, exit.port, exit.width, exit.count, [...exit.data]]);
  }
  assert.deepEqual(seen, [
    ["pio-out", 0x3f8, 1, 1, [0x41]],
    ["pio-in", 0x3f8, 1, 1, [0x71]],
    ["pio-out", 0x3f8, 1, 1, [0x72]],
    ["pio-in", 0x3f8, 2, 1, [0x71, 0x72]],
    ["pio-out", 0x3f8, 4, 1, [0x71, 0x72, 0, 0]],
    ["pio-in", 0x3f8, 4, 1, [0x71, 0x72, 0x73, 0x74]],
    ["pio-out", 0x3f8, 4, 1, [0x71, 0x72, 0x73, 0x74]],
    "halt",
  ]);
});
