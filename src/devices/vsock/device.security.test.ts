import assert from "node:assert/strict";
import { test } from "node:test";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { Connection } from "./connection.ts";
import { VsockDevice } from "./device.ts";
import * as p from "./packet.ts";
import { vsockStateCodec } from "./state.ts";
import { GuestSockets, guestCid, type PacketFields } from "./testing/guest-sockets.ts";

function setup(): { device: VsockDevice; guest: GuestSockets; connections: Connection[] } {
  const device = new VsockDevice({ guestCid });
  const connections: Connection[] = [];
  device.listen(80, (connection) => connections.push(connection));
  const guest = new GuestSockets(device);
  guest.offer(20);
  return { device, guest, connections };
}

test("5.10.6.4.2: a packet of unknown type is answered with RST of that type", () => {
  const { guest } = setup();
  guest.send({ op: p.VIRTIO_VSOCK_OP_REQUEST, type: 7 });
  const [packet] = guest.received();
  assert.deepEqual([packet?.header.op, packet?.header.type], [p.VIRTIO_VSOCK_OP_RST, 7]);
});

const refused: [string, PacketFields][] = [
  ["data without a connection", { op: p.VIRTIO_VSOCK_OP_RW, payload: Uint8Array.of(1) }],
  ["a response that nobody asked for", { op: p.VIRTIO_VSOCK_OP_RESPONSE }],
  ["an operation that does not exist", { op: 99 }],
  ["a packet to another guest", { op: p.VIRTIO_VSOCK_OP_REQUEST, dstCid: 4 }],
];
for (const [name, fields] of refused)
  test(`5.10.6.5: ${name} is answered with RST`, () => {
    const { device, guest } = setup();
    guest.send(fields);
    assert.deepEqual(guest.receivedOps(), [p.VIRTIO_VSOCK_OP_RST]);
    assert.equal(device.connectionCount, 0);
    assert.equal(device.counters.refused, 1);
  });

test("5.10.6.4.1: a packet that claims to come from another guest is dropped", () => {
  const { device, guest } = setup();
  guest.send({ op: p.VIRTIO_VSOCK_OP_REQUEST, srcCid: guestCid + 1 });
  assert.deepEqual(guest.received(), []);
  assert.equal(device.counters.dropped, 1);
});

test("5.10.6: a packet shorter than it says is dropped; a longer buffer is no fault", () => {
  const { device, guest, connections } = setup();
  guest.send({ op: p.VIRTIO_VSOCK_OP_REQUEST });
  guest.send({ payload: Uint8Array.of(1, 2), length: 3 });
  guest.send({ payload: Uint8Array.of(1, 2), length: 0xffff_ffff });
  assert.equal(device.counters.dropped, 2);
  guest.send({ payload: Uint8Array.of(1, 2, 3), length: 2 });
  assert.equal(device.counters.dropped, 2);
  assert.equal(connections.length, 1);
});

test("5.10.6: a buffer without a whole header is dropped", () => {
  const { device, guest } = setup();
  guest.rig.driver.add(1, [{ read: new Uint8Array(43) }]);
  guest.rig.driver.add(1, [{ write: 44 }]);
  guest.rig.driver.notify(1);
  assert.equal(device.counters.dropped, 2);
  assert.equal(guest.rig.driver.collect(1).length, 2);
});

test("a RST without a connection is not answered", () => {
  const { guest } = setup();
  guest.send({ op: p.VIRTIO_VSOCK_OP_RST });
  guest.send({ op: p.VIRTIO_VSOCK_OP_RST, type: 9 });
  assert.deepEqual(guest.received(), []);
});

const violations: [string, PacketFields[]][] = [
  ["a second request", [{ op: p.VIRTIO_VSOCK_OP_REQUEST }]],
  ["a response", [{ op: p.VIRTIO_VSOCK_OP_RESPONSE }]],
  ["an operation that does not exist", [{ op: 0 }]],
  [
    "data after the end",
    [{ op: p.VIRTIO_VSOCK_OP_SHUTDOWN, flags: p.VIRTIO_VSOCK_SHUTDOWN_SEND }, { payload: Uint8Array.of(1) }],
  ],
];
for (const [name, packets] of violations)
  test(`5.10.6.5: ${name} on a connection breaks it off`, async () => {
    const { device, guest, connections } = setup();
    guest.send({ op: p.VIRTIO_VSOCK_OP_REQUEST });
    for (const packet of packets) guest.send(packet);
    assert.deepEqual(guest.receivedOps().at(-1), p.VIRTIO_VSOCK_OP_RST);
    assert.equal(device.connectionCount, 0);
    const reason = await connections[0]?.closed;
    assert.ok(reason instanceof SupermachineError && reason.code === "CONNECTION_LOST");
  });

test("receive buffers too small for a header are returned empty, and sending goes on with the next", () => {
  const device = new VsockDevice({ guestCid });
  const guest = new GuestSockets(device);
  guest.rig.driver.add(0, [{ write: 43 }]);
  guest.rig.driver.add(0, [{ read: new Uint8Array(60) }]);
  guest.send({ op: p.VIRTIO_VSOCK_OP_REQUEST });
  assert.deepEqual(
    guest.rig.driver.collect(0).map(({ written }) => written),
    [0, 0],
  );
  guest.offer(1);
  assert.deepEqual(guest.receivedOps(), [p.VIRTIO_VSOCK_OP_RST]);
});

test("a connection cannot be starved by buffers with room for a header alone", async () => {
  const { device, guest, connections } = setup();
  guest.send({ op: p.VIRTIO_VSOCK_OP_REQUEST });
  for (let index = 0; index < 19; index++) guest.send({ op: p.VIRTIO_VSOCK_OP_CREDIT_REQUEST });
  guest.received();
  const writing = connections[0]?.write(Uint8Array.of(1));
  guest.offer(3, 0);
  assert.deepEqual(
    guest.rig.driver.collect(0).map(({ written }) => written),
    [0, 0, 0],
  );
  guest.offer(1);
  await writing;
  assert.deepEqual(guest.receivedOps(), [p.VIRTIO_VSOCK_OP_RW]);
  assert.equal(device.connectionCount, 1);
});

test("a saved state is checked", () => {
  const state = { nextLocalPort: 0x4000_0001 };
  assert.deepEqual(vsockStateCodec.parse(vsockStateCodec.encode(state)), state);
  for (const wrong of [null, 5, {}, { nextLocalPort: 1 }, { nextLocalPort: "x" }, { nextLocalPort: 2 ** 32 }])
    assert.throws(() => vsockStateCodec.parse(new TextEncoder().encode(JSON.stringify(wrong))), {
      code: "SNAPSHOT_INVALID",
    });
});
