import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PhaseClock } from "../dist/src/engine/phase-clock.js";
import { buildToBoot } from "../dist/src/engine/vmm/boot-machine.js";
import { startVcpus } from "../dist/src/engine/vmm/start-vcpus.js";
import { DescriptorWatch } from "../dist/src/sys/linux/descriptor-watch.js";
import { writeTinyKernel } from "../dist/tests/engine/tiny-kernel.js";
import { median, noKvm } from "./sample.mjs";

const runs = 3;
const rounds = 6;
const exitsPerRound = 10_000;

// Each round: a line feed to the serial port, writes to its scratch register, another line feed, reads of the magic value
// of a virtio device.
const u32 = (value) => [...new Uint8Array(Uint32Array.of(value).buffer)];
const mark = [0x66, 0xba, 0xf8, 0x03, 0xb0, 0x0a, 0xee]; // mov dx, 0x3f8; mov al, 10; out dx, al
const round = [
  ...mark,
  ...[0x66, 0xba, 0xff, 0x03], // mov dx, 0x3ff
  ...[0xb9, ...u32(exitsPerRound)], // mov ecx, exits
  ...[0xee, 0xff, 0xc9, 0x75, 0xfb], // next: out dx, al; dec ecx; jnz next
  ...mark,
  ...[0xbe, ...u32(0xd000_0000)], // mov esi, the device's registers
  ...[0xb9, ...u32(exitsPerRound)], // mov ecx, exits
  ...[0x8b, 0x06, 0xff, 0xc9, 0x75, 0xfa], // next: mov eax, [rsi]; dec ecx; jnz next
];
const code = [
  ...[0xbb, ...u32(rounds)], // mov ebx, rounds
  ...round,
  ...[0xff, 0xcb], // dec ebx
  ...[0x0f, 0x85, ...u32(-(round.length + 8))], // jnz round
  ...mark,
  ...[0x66, 0xba, 0x00, 0x06, 0xb0, 0x34, 0xee, 0xf4], // power off; hlt
];

/** One port and one memory-mapped exit in our vCPU loop, against a loop in C around the same ioctl; in turns. */
export async function measureExits() {
  const reason = noKvm();
  if (reason !== undefined) return [{ what: "exits", skipped: reason }];
  const folder = mkdtempSync(join(tmpdir(), "bench-exits-"));
  try {
    const program = join(folder, "exits");
    execFileSync("cc", ["-O2", "-Wall", "-o", program, join(import.meta.dirname, "exits.c")]);
    writeFileSync(join(folder, "code"), Uint8Array.from(code));
    const ours = { pio: [], mmio: [] };
    const theirs = { pio: [], mmio: [] };
    for (let run = 0; run < runs; run++) {
      const output = execFileSync(program, [join(folder, "code")], { encoding: "utf8" });
      addRounds(
        theirs,
        output
          .trim()
          .split("\n")
          .map((ns) => Number(ns) / 1e6),
      );
      addRounds(ours, await runOurs(folder, run));
    }
    return ["pio", "mmio"].map((kind) => {
      const value = (median(ours[kind]) * 1000) / exitsPerRound;
      const inC = (median(theirs[kind]) * 1000) / exitsPerRound;
      const what = kind === "pio" ? "exit for a port write" : "exit for a register read";
      return { what, value, unit: "µs", ratio: value / inC, against: `a loop in C (${inC.toFixed(2)} µs)` };
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The first round is left out: code is compiled during it. */
function addRounds(into, marks) {
  for (let at = 2; at + 2 < marks.length; at += 2) {
    into.pio.push(marks[at + 1] - marks[at]);
    into.mmio.push(marks[at + 2] - marks[at + 1]);
  }
}

async function runOurs(folder, run) {
  const directory = join(folder, `machine-${run}`);
  mkdirSync(directory);
  for (const name of ["initramfs", "rootfs"]) writeFileSync(join(folder, name), new Uint8Array(4096));
  const machine = buildToBoot(
    {
      id: "0123456789ab",
      architecture: "x64",
      cpus: 1,
      memoryMiB: 64,
      kernel: {
        image: writeTinyKernel(folder, code),
        initramfs: join(folder, "initramfs"),
        release: "tiny",
      },
      rootfs: join(folder, "rootfs"),
      network: "none",
      directory,
    },
    new DescriptorWatch(),
    new PhaseClock(),
  );
  const marks = [];
  const threads = startVcpus(machine, { onConsole: () => marks.push(performance.now()) });
  const end = await threads[0].ended;
  machine[Symbol.dispose]();
  if (end.kind !== "power-off") throw new Error(`The guest ended as ${JSON.stringify(end)}`);
  return marks;
}
