import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { asksToPark, encodeRequest } from "./messages.ts";
import { Operation } from "./protocol.ts";
import type { GuestIdentity, GuestSetup } from "./requests.ts";
import { ValueReader } from "./values.ts";

const identity: GuestIdentity = {
  hostname: "box",
  clockNs: 1_700_000_000_123_456_789n,
  entropy: new Uint8Array(64).fill(7),
  machineId: "0123456789abcdef0123456789abcdef",
  bootId: "01234567-89ab-cdef-0123-456789abcdef",
};
const setup: GuestSetup = {
  modules: ["blk", "fs"],
  rootDevice: "/dev/vda",
  dax: true,
  identity,
  volumes: ["/data"],
};

function readIdentity(reader: ValueReader): GuestIdentity {
  return {
    hostname: reader.string(),
    clockNs: reader.u64(),
    entropy: reader.bytes(),
    machineId: reader.string(),
    bootId: reader.string(),
  };
}

test("SETUP has its fields in the order of the specification", () => {
  const reader = new ValueReader(encodeRequest.setup(setup));
  assert.equal(reader.u8(), Operation.SETUP);
  assert.deepEqual(reader.strings(), ["blk", "fs"]);
  assert.equal(reader.string(), "/dev/vda");
  assert.equal(reader.flag(), true);
  assert.deepEqual(readIdentity(reader), identity);
  assert.equal(reader.flag(), false);
  assert.deepEqual(reader.strings(), ["/data"]);
  assert.ok(reader.u32() > 0);
  reader.end();
});

test("RENEW is the identity of SETUP", () => {
  const reader = new ValueReader(encodeRequest.renew(identity));
  assert.equal(reader.u8(), Operation.RENEW);
  assert.deepEqual(readIdentity(reader), identity);
  reader.end();
});

test("FREEZE, THAW, ADOPT and RECLAIM are their operation and a number, if any", () => {
  assert.deepEqual([...encodeRequest.freeze({ timeoutMs: 258.5 })], [17, 3, 1, 0, 0]);
  assert.deepEqual(
    [...encodeRequest.freeze({ timeoutMs: Number.POSITIVE_INFINITY })].slice(1),
    [255, 255, 255, 255],
  );
  assert.deepEqual([...encodeRequest.thaw()], [19]);
  assert.deepEqual([...encodeRequest.adopt(0x01020304)], [20, 4, 3, 2, 1]);
  assert.deepEqual([...encodeRequest.reclaim(32)], [21, 32, 0, 0, 0]);
});

test("what the agent would refuse is not sent", () => {
  const unusable = { code: "INVALID_ARGUMENT" };
  const wrong: Partial<GuestIdentity>[] = [
    { hostname: "" },
    { hostname: "a b" },
    { hostname: "a\nb" },
    { hostname: "../x" },
    { hostname: "é".repeat(33) },
    { clockNs: -1n },
    { clockNs: 1n << 64n },
    { entropy: new Uint8Array(31) },
    { entropy: new Uint8Array(513) },
    { machineId: identity.machineId.toUpperCase() },
    { machineId: `${identity.machineId}\n` },
    { machineId: "" },
    { bootId: identity.machineId },
    { bootId: `${identity.bootId}0` },
  ];
  for (const change of wrong) {
    assert.throws(() => encodeRequest.renew({ ...identity, ...change }), unusable);
    assert.throws(() => encodeRequest.setup({ ...setup, identity: { ...identity, ...change } }), unusable);
  }
  for (const pid of [0, -1, 1.5, Number.NaN, 2 ** 32])
    assert.throws(() => encodeRequest.adopt(pid), unusable);
});

test("asksToPark() finds the flag in any EXEC", () => {
  const words = fc.array(fc.string().filter((text) => !text.includes("\0")));
  fc.assert(
    fc.property(words, words, fc.boolean(), fc.boolean(), fc.boolean(), (argv, env, stdin, parked, tty) => {
      const request = encodeRequest.exec({
        argv: ["x", ...argv],
        env,
        stdin,
        parked,
        ...(tty ? { tty: { columns: 80, rows: 24 } } : {}),
      });
      assert.equal(asksToPark(request), parked);
    }),
  );
});

test("asksToPark() refuses a request that is cut off", () => {
  const request = encodeRequest.exec({ argv: ["x"], env: ["A=1"], stdin: true, parked: true });
  const cut = fc.integer({ min: 1, max: request.length - 5 });
  fc.assert(
    fc.property(cut, (length) => {
      assert.throws(() => asksToPark(request.subarray(0, length)), { code: "AGENT_PROTOCOL" });
    }),
  );
});
