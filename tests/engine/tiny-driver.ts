// A guest of a few hundred bytes that brings its virtio devices up like a driver, and then does what it is told to.

const virtioStart = 0xd000_0000;
const slotStride = 0x1000;

/** Virtio 1.2, section 4.2.2: offsets of the registers. */
const reg = {
  driverFeatures: 0x020,
  driverFeaturesSel: 0x024,
  queueSel: 0x030,
  queueNum: 0x038,
  queueReady: 0x044,
  notify: 0x050,
  status: 0x070,
  descriptors: 0x080,
  driver: 0x090,
  device: 0x0a0,
} as const;

/** By slot: how many queues there are: vsock, rng, balloon, pmem. */
const queueCounts = [3, 1, 5, 1];
/** Every queue has as many entries as the smallest allows. */
const queueSize = 4;

/** Where a queue's three parts lie. */
export function queuePlace(
  slot: number,
  queue: number,
): { descriptors: number; driver: number; device: number } {
  const start = 0x40_0000 + slot * 0x4_0000 + queue * 0x8000;
  return { descriptors: start, driver: start + 0x1000, device: start + 0x2000 };
}

/** Sixteen random bytes from the rng device appear here. */
export const randomBytesAt = 0x30_0000;
/** Counts up from when the devices are at work. */
export const counterAt = 0x20_0000;
/** Where the vsock device may put packets. */
const packetsAt = 0x31_0000;
const packetLength = 0x1100;

/** hlt; jmp back */
const idle = [0xf4, 0xeb, 0xfd];
/** next: inc qword [counterAt]; jmp next */
const count = [0x48, 0xff, 0x04, 0x25, 0x00, 0x00, 0x20, 0x00, 0xeb, 0xf6];

/** Asks the pmem device for a flush, waits for the answer, counts, and starts over. */
function flush(): number[] {
  const { descriptors, driver, device } = queuePlace(3, 0);
  const [request, answer] = [0x32_8000, 0x32_8010];
  const loop = [
    ...[0x66, 0xff, 0x04, 0x25, ...little(driver + 2, 4)], // inc word [available index]
    ...store32(virtioStart + 3 * slotStride + reg.notify, 0),
    ...[0x66, 0x8b, 0x04, 0x25, ...little(driver + 2, 4)], // mov ax, [available index]
    ...[0x66, 0x3b, 0x04, 0x25, ...little(device + 2, 4)], // wait: cmp ax, [used index]
    ...[0x75, 0xf6], // jne wait
    ...count.slice(0, 8),
  ];
  return [
    ...store32(descriptors, request),
    ...store32(descriptors + 8, 4),
    // VIRTQ_DESC_F_NEXT, next: 1
    ...store32(descriptors + 12, 0x1_0001),
    ...store32(descriptors + 16, answer),
    ...store32(descriptors + 24, 4),
    // VIRTQ_DESC_F_WRITE
    ...store32(descriptors + 28, 2),
    ...loop,
    ...[0xeb, 0x100 - loop.length - 2], // jmp to the loop's start
  ];
}

/** What `rewrite` writes to, from here on. */
export const rewrittenAt = 0x200_0000;

/**
 * Writes to one page after the other, over and over, with so many turns of waiting between two. Each time around it rings
 * for the balloon's first queue.
 */
export function rewrite({ pages, turns }: { pages: number; turns: number }): number[] {
  return [
    ...[0xbf, ...little(rewrittenAt, 4)], // start: mov edi, rewrittenAt
    ...[0x48, 0xff, 0x07], // next: inc qword [rdi]
    ...[0xb9, ...little(turns, 4)], // mov ecx, turns
    ...[0xff, 0xc9], // wait: dec ecx
    ...[0x75, 0xfc], // jnz wait
    ...[0x81, 0xc7, ...little(0x1000, 4)], // add edi, 0x1000
    ...[0x81, 0xff, ...little(rewrittenAt + pages * 0x1000, 4)], // cmp edi, end
    ...[0x72, 0xe6], // jb next
    ...store32(virtioStart + 2 * slotStride + reg.notify, 0),
    ...[0xeb, 0xd4], // jmp start
  ];
}

/**
 * Says that its devices are at work by counting once, and then halts for ever, counts on, counts flushes of the pmem device,
 * or does what it is given.
 */
export function driverKernel(then: "idle" | "count" | "flush" | readonly number[]): number[] {
  return [
    ...queueCounts.flatMap((queues, slot) => bringUp(slot, queues)),
    ...offer({ slot: 1, queue: 0 }, [{ address: randomBytesAt, length: 16 }]),
    ...offer(
      { slot: 0, queue: 0 },
      Array.from({ length: queueSize }, (_, index) => ({
        address: packetsAt + index * 0x2000,
        length: packetLength,
      })),
    ),
    ...serialRegisters(),
    ...store32(counterAt, 1),
    ...(typeof then === "string" ? { idle, count, flush: flush() }[then] : then),
  ];
}

function bringUp(slot: number, queues: number): number[] {
  const base = virtioStart + slot * slotStride;
  const set = (register: number, value: number): number[] => store32(base + register, value);
  const statusBits = [0, 1, 3];
  const setUp = (queue: number): number[] => {
    const { descriptors, driver, device } = queuePlace(slot, queue);
    return [
      ...set(reg.queueSel, queue),
      ...set(reg.queueNum, queueSize),
      ...set(reg.descriptors, descriptors),
      ...set(reg.driver, driver),
      ...set(reg.device, device),
      ...set(reg.queueReady, 1),
    ];
  };
  return [
    ...statusBits.flatMap((value) => set(reg.status, value)),
    // VERSION_1, and nothing of the device's own.
    ...set(reg.driverFeaturesSel, 1),
    ...set(reg.driverFeatures, 1),
    ...set(reg.status, 11),
    ...Array.from({ length: queues }, (_, queue) => setUp(queue)).flat(),
    ...set(reg.status, 15),
  ];
}

/** Gives the device empty buffers. */
function offer(
  { slot, queue }: { slot: number; queue: number },
  buffers: readonly { address: number; length: number }[],
): number[] {
  const { descriptors, driver } = queuePlace(slot, queue);
  return [
    ...buffers.flatMap(({ address, length }, index) => [
      ...store32(descriptors + index * 16, address),
      ...store32(descriptors + index * 16 + 8, length),
      // VIRTQ_DESC_F_WRITE
      ...store32(descriptors + index * 16 + 12, 2),
      ...store16(driver + 4 + index * 2, index),
    ]),
    ...store16(driver + 2, buffers.length),
    ...store32(virtioStart + slot * slotStride + reg.notify, queue),
  ];
}

/** Scratch and modem control of COM1, so that its state is not that of a reset. */
function serialRegisters(): number[] {
  return [...out8(0x3ff, 0x5a), ...out8(0x3fc, 0x0b)];
}

/** mov eax, address; mov dword [rax], value */
function store32(address: number, value: number): number[] {
  return [0xb8, ...little(address, 4), 0xc7, 0x00, ...little(value, 4)];
}

/** mov eax, address; mov word [rax], value */
function store16(address: number, value: number): number[] {
  return [0xb8, ...little(address, 4), 0x66, 0xc7, 0x00, ...little(value, 2)];
}

/** mov dx, port; mov al, value; out dx, al */
function out8(port: number, value: number): number[] {
  return [0x66, 0xba, ...little(port, 2), 0xb0, value, 0xee];
}

function little(value: number, length: number): number[] {
  return Array.from({ length }, (_, index) => (value >>> (8 * index)) & 0xff);
}
