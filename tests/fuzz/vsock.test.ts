import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import type { Connection } from "../../src/devices/vsock/connection.ts";
import { VsockDevice } from "../../src/devices/vsock/device.ts";
import * as p from "../../src/devices/vsock/packet.ts";
import { GuestSockets, guestCid, type PacketFields } from "../../src/devices/vsock/testing/guest-sockets.ts";
import * as v from "../../src/virtio/constants.ts";
import { fuzzAsync } from "./fuzz.ts";

const bufferBytes = 1024;
const maxConnections = 2;

const u32 = fc.oneof(fc.constantFrom(0, 1, 16, 1024, 0x7fff_ffff, 0xffff_ffff), fc.nat(0xffff_ffff));
const packet: fc.Arbitrary<PacketFields> = fc.record(
  {
    srcCid: fc.oneof({ weight: 9, arbitrary: fc.constant(guestCid) }, fc.nat(5)),
    dstCid: fc.oneof({ weight: 9, arbitrary: fc.constant(p.VSOCK_HOST_CID) }, u32),
    srcPort: fc.oneof({ weight: 5, arbitrary: fc.nat(5) }, u32),
    dstPort: fc.oneof({ weight: 5, arbitrary: fc.constantFrom(80, 80, 81, 0x4000_0000, 0x4000_0001) }, u32),
    type: fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, fc.nat(5)),
    op: fc.oneof({ weight: 9, arbitrary: fc.nat(8) }, fc.nat(0xffff)),
    flags: fc.oneof(fc.nat(3), u32),
    bufAlloc: u32,
    fwdCnt: u32,
    payload: fc.uint8Array({ maxLength: 400 }),
  },
  { requiredKeys: ["op", "srcPort", "dstPort"] },
);
type HostStep = "connect" | "write" | "end" | "cancel" | "read" | "reset connections";
const step = fc.oneof(
  { weight: 2, arbitrary: packet.map((fields) => ({ fields })) },
  fc.nat(4).map((offer) => ({ offer })),
  fc
    .tuple(
      fc.constantFrom<HostStep>(
        "connect",
        "write",
        "write",
        "end",
        "cancel",
        "read",
        "read",
        "reset connections",
      ),
      fc.nat(3),
    )
    .map(([host, which]) => ({ host, which })),
);

/** The host's side, doing whatever it likes with the connections it has. */
class Host {
  readonly device = new VsockDevice({ guestCid, maxConnections, bufferBytes });
  readonly connections: Connection[] = [];

  constructor() {
    this.device.listen(80, (connection) => this.connections.push(connection));
  }

  act(step: HostStep, which: number): void {
    if (step === "connect") this.#connect();
    if (step === "reset connections") this.device.resetConnections();
    const connection = this.connections[which % Math.max(1, this.connections.length)];
    if (connection === undefined) return;
    if (step === "write") connection.write(new Uint8Array(700)).catch(() => {});
    if (step === "end") void connection.end();
    if (step === "cancel") connection.cancel();
    if (step === "read")
      connection.incoming[Symbol.asyncIterator]()
        .next()
        .catch(() => {});
  }

  #connect(): void {
    this.device.connect(1).then(
      (connection) => this.connections.push(connection),
      () => {},
    );
  }
}

test("5.10.6: any packets, and a host that does anything: no connection too many, nothing that a queue cannot stand", async () => {
  await fuzzAsync(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const host = new Host();
      const guest = new GuestSockets(host.device, { memoryBytes: 0x20_0000 });
      guest.offerEventBuffers(2);
      for (const next of steps) {
        if ("fields" in next) guest.send(next.fields);
        else if ("offer" in next) guest.offer(next.offer, 256);
        else host.act(next.host, next.which);
        if (steps.length % 3 === 0) await turn();
        assert.ok(host.device.connectionCount <= maxConnections);
        assert.equal(guest.rig.driver.status & v.DEVICE_NEEDS_RESET, 0);
        for (const { header, payload } of guest.received()) {
          assert.equal(header.length, payload.length);
          assert.ok(header.op >= p.VIRTIO_VSOCK_OP_REQUEST && header.op <= p.VIRTIO_VSOCK_OP_CREDIT_REQUEST);
        }
      }
      host.device.close();
      assert.equal(host.device.connectionCount, 0);
      await turn();
    }),
    { share: 0.5 },
  );
});

const pieceLength = fc.integer({ min: 1, max: 900 });
const traffic = fc.record({
  toGuest: fc.array(pieceLength, { maxLength: 6 }),
  toHost: fc.array(pieceLength, { maxLength: 6 }),
  guestBuffer: fc.integer({ min: 100, max: 2000 }),
  /** Room in each of the receive buffers that the guest offers. */
  rooms: fc.array(fc.integer({ min: 50, max: 700 }), { minLength: 1, maxLength: 5 }),
});

test("5.10.6.3: whatever the sizes, both directions arrive whole and in order, and the guest's credit is never exceeded", async () => {
  await fuzzAsync(
    fc.asyncProperty(traffic, async ({ toGuest, toHost, guestBuffer, rooms }) => {
      const device = new VsockDevice({ guestCid, bufferBytes });
      let connection: Connection | undefined;
      device.listen(80, (accepted) => {
        connection = accepted;
      });
      const guest = new GuestSockets(device, { memoryBytes: 0x40_0000 });
      guest.offer(1);
      guest.send({ op: p.VIRTIO_VSOCK_OP_REQUEST, bufAlloc: guestBuffer });
      const hostSide = connection ?? assert.fail("not accepted");
      const outgoing = counting(toGuest);
      const incoming = counting(toHost);
      const writing = writeAll(hostSide, outgoing, toGuest);
      const reading = readAll(hostSide, incoming.length);
      const received: number[] = [];
      let consumed = 0;
      let sent = 0;
      let hostCredit = { bufAlloc: bufferBytes, fwdCnt: 0 };
      for (let round = 0; received.length < outgoing.length || sent < incoming.length; round++) {
        assert.ok(round < 2000, "the connection stalls");
        guest.offer(1, rooms[round % rooms.length]);
        await turn();
        for (const { header, payload } of guest.received()) {
          hostCredit = header;
          received.push(...payload);
          assert.ok(received.length - consumed <= guestBuffer, "more than the guest has room for");
        }
        consumed = received.length;
        const free = hostCredit.bufAlloc - (sent - hostCredit.fwdCnt);
        const length = Math.min(
          toHost[round % Math.max(1, toHost.length)] ?? 0,
          free,
          incoming.length - sent,
        );
        const credit = { bufAlloc: guestBuffer, fwdCnt: consumed };
        if (length > 0) guest.send({ payload: incoming.subarray(sent, sent + length), ...credit });
        else guest.send({ op: p.VIRTIO_VSOCK_OP_CREDIT_UPDATE, ...credit });
        sent += Math.max(0, length);
      }
      await writing;
      assert.deepEqual(Uint8Array.from(received), outgoing);
      assert.deepEqual(await reading, incoming);
    }),
    { share: 0.5 },
  );
});

/** So many bytes as the pieces have together, each different from its neighbours. */
function counting(pieces: readonly number[]): Uint8Array {
  return Uint8Array.from(
    { length: pieces.reduce((sum, length) => sum + length, 0) },
    (_, index) => index % 251,
  );
}

async function writeAll(connection: Connection, bytes: Uint8Array, pieces: readonly number[]): Promise<void> {
  let at = 0;
  for (const length of pieces) {
    await connection.write(bytes.subarray(at, at + length));
    at += length;
  }
}

async function readAll(connection: Connection, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let at = 0;
  const reader = connection.incoming[Symbol.asyncIterator]();
  while (at < length) {
    const next = await reader.next();
    assert.ok(next.done !== true, "the connection ended early");
    bytes.set(next.value, at);
    at += next.value.length;
  }
  return bytes;
}
