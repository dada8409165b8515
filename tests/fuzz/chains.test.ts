import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { gpa } from "../../src/memory/address.ts";
import * as v from "../../src/virtio/constants.ts";
import { deviceRig } from "../../src/virtio/testing/device-rig.ts";
import type { BufferSpec, RawDescriptor } from "../../src/virtio/testing/driver-double.ts";
import { deviceMakers } from "./devices.ts";
import { fuzzAsync } from "./fuzz.ts";

const kind = fc.constantFrom(...Object.keys(deviceMakers));
const memoryBytes = 0x4_0000;
const allFeatures: bigint = 2n ** 41n - 1n;

/** Where the tables below are written, apart from everything that the driver double allocates. */
const indirectTable = 0x2_0000;

const descriptor: fc.Arbitrary<RawDescriptor> = fc.record({
  address: fc.oneof(
    fc.nat(memoryBytes + 64),
    fc.constantFrom(indirectTable, 0, memoryBytes - 1, memoryBytes),
    fc.bigInt(0n, 2n ** 64n - 1n),
  ),
  length: fc.oneof(
    fc.nat(128),
    fc.constantFrom(0, 16, 44, 64, 512, 513, 4096, 65_536, memoryBytes, 0x8000_0000, 0xffff_ffff),
    fc.nat(0xffff_ffff),
  ),
  flags: fc.oneof(fc.nat(7), fc.constantFrom(0, 1, 2, 3, 4, 0xffff)),
  next: fc.oneof(fc.nat(17), fc.nat(0xffff)),
});
const rawQueue = fc.record({
  table: fc.array(descriptor, { minLength: 1, maxLength: 16 }),
  heads: fc.array(fc.oneof(fc.nat(16), fc.nat(0xffff)), { maxLength: 16 }),
  index: fc.option(fc.nat(0xffff), { nil: undefined }),
});

test("2.7.5: any descriptors, indirect ones and loops too, in any device's queues: answered or refused, within bounds", async () => {
  await fuzzAsync(
    fc.asyncProperty(
      kind,
      fc.array(rawQueue, { minLength: 1, maxLength: 5 }),
      fc.array(descriptor, { maxLength: 20 }),
      async (name, queues, indirect) => {
        const it = deviceRig(deviceMakers[name]?.() ?? assert.fail(), { memoryBytes });
        it.driver.bringUp({ features: allFeatures });
        for (const [at, entry] of indirect.entries())
          it.driver.writeDescriptor(gpa(indirectTable), at, entry);
        for (const [queue, { table, heads, index }] of queues.entries()) {
          if (queue >= it.host.device.queueSizes.length) break;
          const { descriptors } = it.driver.queue(queue);
          for (const [at, entry] of table.entries()) it.driver.writeDescriptor(descriptors, at % 4, entry);
          for (const head of heads) it.driver.offer(queue, head);
          if (index !== undefined) it.driver.setAvailableIndex(queue, index);
          it.driver.notify(queue);
        }
        await turn();
        const { status } = it.driver;
        assert.ok((status & v.DRIVER_OK) !== 0);
        // A device that is not broken has returned no more than it was given.
        if ((status & v.DEVICE_NEEDS_RESET) !== 0) return;
        for (const queue of it.host.device.queueSizes.keys()) {
          const position = it.host.position(queue);
          assert.ok(position !== undefined);
          assert.ok(((position.nextAvailable - position.nextUsed) & 0xffff) <= it.driver.queue(queue).size);
        }
      },
    ),
    { share: 0.6 },
  );
});

const buffer: fc.Arbitrary<BufferSpec> = fc.oneof(
  fc.uint8Array({ maxLength: 80 }).map((read) => ({ read })),
  fc.nat(600).map((write) => ({ write })),
);
const request = fc.record({
  queue: fc.nat(4),
  buffers: fc.array(buffer, { minLength: 1, maxLength: 4 }).map((buffers) => [
    // Readable ones first, as the format wants it.
    ...buffers.filter((spec) => "read" in spec),
    ...buffers.filter((spec) => "write" in spec),
  ]),
  indirect: fc.boolean(),
});

test("2.7.8: whatever is asked, a device writes nowhere but into the requests' writable buffers and its own ring", async () => {
  await fuzzAsync(
    fc.asyncProperty(kind, fc.array(request, { minLength: 1, maxLength: 4 }), async (name, requests) => {
      const it = deviceRig(deviceMakers[name]?.() ?? assert.fail(), { memoryBytes });
      it.driver.bringUp({ features: allFeatures });
      const queues = it.host.device.queueSizes.length;
      // As an honest driver: no descriptor is used again before its request has come back.
      const used = Array.from({ length: queues }, () => 0);
      for (const { queue: any, buffers, indirect } of requests) {
        const queue = any % queues;
        const needed = indirect ? 1 : buffers.length;
        if ((used[queue] ?? 0) + needed > it.driver.queue(queue).size) continue;
        used[queue] = (used[queue] ?? 0) + needed;
        it.driver.add(queue, buffers, { indirect });
      }
      const places: { readonly address: number; readonly length: number }[] = [];
      for (let queue = 0; queue < queues; queue++) {
        const { device, size, requests: placed } = it.driver.queue(queue);
        places.push({ address: device, length: 6 + 8 * size }, ...[...placed.values()].flat());
      }
      /** The memory with zeros where the device may write. */
      const rest = (): Buffer => {
        const bytes = Buffer.from(it.memory.view(gpa(0), memoryBytes));
        for (const { address, length } of places) bytes.fill(0, address, address + length);
        return bytes;
      };
      const before = rest();
      for (let queue = 0; queue < queues; queue++) it.driver.notify(queue);
      await turn();
      assert.ok(rest().equals(before), `${name} wrote where it may not`);
    }),
    { share: 0.4 },
  );
});
