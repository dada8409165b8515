import assert from "node:assert/strict";
import { test } from "node:test";
import { openResources } from "../open-resources.ts";
import { DescriptorWatch } from "./descriptor-watch.ts";
import { EventFd } from "./eventfd.ts";

test("DescriptorWatch calls back for each descriptor that becomes readable, and holds nothing afterwards", async () => {
  const before = openResources();
  const watch = new DescriptorWatch();
  const events = [new EventFd(), new EventFd()] as const;
  const order: number[] = [];
  for (let round = 0; round < 50; round++) {
    const done = new Promise<void>((resolve) => {
      const watched = events.map((event, index) =>
        watch.add(event.fd, () => {
          assert.equal(event.take(), true);
          order.push(index);
          if (index === 0) return events[1].signal();
          for (const each of watched) each[Symbol.dispose]();
          resolve();
        }),
      );
    });
    if (round % 2 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    events[0].signal();
    await done;
  }
  assert.deepEqual(
    order,
    Array.from({ length: 100 }, (_, index) => index % 2),
  );
  for (const event of events) event[Symbol.dispose]();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(openResources(), before);
});
