import assert from "node:assert/strict";
import { test } from "node:test";
import { AdmissionGate, type AdmissionTicket } from "./admission-gate.ts";
import { memoryBoundMiB } from "./host-limits.ts";

const admitted = (ticket: AdmissionTicket) =>
  Promise.race([ticket.settled.then(() => true), new Promise((resolve) => setImmediate(resolve, false))]);

test("a gate admits up to its limit, and the next as soon as there is room", async () => {
  const gate = new AdmissionGate(2);
  const tickets = [gate.request(1), gate.request(1), gate.request(1)];
  assert.deepEqual(await Promise.all(tickets.map(admitted)), [true, true, false]);
  tickets[0]?.release();
  tickets[0]?.release();
  assert.deepEqual([gate.held, gate.waiting], [2, 0]);
});

test("a heavy request is not overtaken by a light one behind it", async () => {
  const gate = new AdmissionGate(10);
  const first = gate.request(6);
  const heavy = gate.request(8);
  const light = gate.request(1);
  assert.deepEqual(await Promise.all([heavy, light].map(admitted)), [false, false]);
  first.release();
  assert.deepEqual(await Promise.all([heavy, light].map(admitted)), [true, true]);
});

test("a heavy request that gives up lets those behind it pass", async () => {
  const gate = new AdmissionGate(10);
  gate.request(6);
  const heavy = gate.request(8);
  const light = gate.request(4);
  heavy.release();
  assert.equal(await admitted(light), true);
  assert.equal(gate.held, 10);
});

test("a weight that could never pass is refused", () => {
  const gate = new AdmissionGate(10);
  for (const weight of [11, -1, Number.NaN]) assert.throws(() => gate.request(weight), RangeError);
});

test("the bound on memory is a share of what the process may use, whatever the system says of its cgroup", () => {
  const GiB = 2 ** 30;
  assert.equal(memoryBoundMiB(10 * GiB, undefined), 8_192);
  assert.equal(memoryBoundMiB(10 * GiB, 0), 8_192);
  assert.equal(memoryBoundMiB(10 * GiB, 2 ** 64), 8_192);
  assert.equal(memoryBoundMiB(10 * GiB, 5 * GiB), 4_096);
});
