import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { Connection } from "./connection.ts";
import { VsockDevice } from "./device.ts";
import * as p from "./packet.ts";
import { FIRST_LOCAL_PORT } from "./state.ts";
import { GuestSockets, guestCid } from "./testing/guest-sockets.ts";

const { VIRTIO_VSOCK_OP_REQUEST: REQUEST, VIRTIO_VSOCK_OP_RESPONSE: RESPONSE, VIRTIO_VSOCK_OP_RST: RST } = p;
const { VIRTIO_VSOCK_OP_SHUTDOWN: SHUTDOWN, VIRTIO_VSOCK_OP_RW: RW } = p;
const { VIRTIO_VSOCK_OP_CREDIT_UPDATE: UPDATE, VIRTIO_VSOCK_OP_CREDIT_REQUEST: ASK } = p;

const TX = 1;

interface Setup {
  readonly device: VsockDevice;
  readonly guest: GuestSockets;
}

function setup(options: { maxConnections?: number; bufferBytes?: number; memoryBytes?: number } = {}): Setup {
  const device = new VsockDevice({ guestCid, ...options });
  return { device, guest: new GuestSockets(device, options) };
}

/** A connection that the guest has made to port 80, with receive buffers left over. */
function accepted(
  options: { bufferBytes?: number; bufAlloc?: number } = {},
): Setup & { connection: Connection } {
  const it = setup(options);
  const connections: Connection[] = [];
  it.device.listen(80, (connection) => connections.push(connection));
  it.guest.offer(20);
  it.guest.send({ op: REQUEST, bufAlloc: options.bufAlloc ?? 65_536 });
  assert.deepEqual(it.guest.receivedOps(), [RESPONSE]);
  const [connection] = connections;
  assert.ok(connection !== undefined);
  return { ...it, connection };
}

async function next(connection: Connection): Promise<IteratorResult<Uint8Array>> {
  return await connection.incoming[Symbol.asyncIterator]().next();
}

async function readAll(connection: Connection): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of connection.incoming) pieces.push(piece);
  return Buffer.concat(pieces);
}

test("5.10.4: the configuration space is the guest's CID, which must not be a reserved one", () => {
  const { guest } = setup();
  assert.deepEqual(guest.rig.driver.readConfig(0, 8), Uint8Array.of(guestCid, 0, 0, 0, 0, 0, 0, 0));
  for (const cid of [0, 1, 2, 0xffff_ffff, 3.5, -1])
    assert.throws(() => new VsockDevice({ guestCid: cid }), RangeError);
});

test("5.10.6.5: a request to a port that is listened on is answered, and bytes go both ways", async () => {
  const { guest, connection } = accepted();
  assert.deepEqual([connection.localPort, connection.peerPort], [80, 1000]);
  guest.send({ payload: Uint8Array.of(1, 2, 3) });
  assert.deepEqual((await next(connection)).value, Uint8Array.of(1, 2, 3));
  await connection.write(Uint8Array.of(4, 5));
  const [packet] = guest.received();
  assert.deepEqual(packet?.payload, Uint8Array.of(4, 5));
  assert.deepEqual(packet?.header, {
    srcCid: 2,
    dstCid: guestCid,
    srcPort: 80,
    dstPort: 1000,
    length: 2,
    type: 1,
    op: RW,
    flags: 0,
    bufAlloc: 524_288,
    fwdCnt: 3,
  });
});

test("5.10.6.5: a request to a port where nobody listens is refused at once, also after a listener has gone", () => {
  const { device, guest } = setup();
  guest.offer(4);
  device.listen(80, () => {})[Symbol.dispose]();
  guest.send({ op: REQUEST });
  const [packet] = guest.received();
  assert.equal(packet?.header.op, RST);
  assert.deepEqual([packet?.header.srcPort, packet?.header.dstPort], [80, 1000]);
});

test("5.10.6.5: requests beyond the limit of connections are refused", () => {
  const { device, guest } = setup({ maxConnections: 2 });
  device.listen(80, () => {});
  guest.offer(4);
  for (const srcPort of [1, 2, 3]) guest.send({ op: REQUEST, srcPort });
  assert.deepEqual(guest.receivedOps(), [RESPONSE, RESPONSE, RST]);
  assert.equal(device.connectionCount, 2);
});

test("5.10.6.5: connect() sends a request and resolves with the response", async () => {
  const { device, guest } = setup();
  guest.offer(4);
  const connecting = device.connect(52);
  const [request] = guest.received();
  assert.deepEqual([request?.header.op, request?.header.srcPort], [REQUEST, FIRST_LOCAL_PORT]);
  guest.send({ op: RESPONSE, srcPort: 52, dstPort: FIRST_LOCAL_PORT });
  const connection = await connecting;
  guest.send({ srcPort: 52, dstPort: FIRST_LOCAL_PORT, payload: Uint8Array.of(9) });
  assert.deepEqual((await next(connection)).value, Uint8Array.of(9));
});

test("5.10.6.5: connect() rejects when the guest refuses", async () => {
  const { device, guest } = setup();
  guest.offer(4);
  const connecting = device.connect(52);
  guest.send({ op: RST, srcPort: 52, dstPort: FIRST_LOCAL_PORT });
  await assert.rejects(connecting, { code: "CONNECTION_REFUSED", data: { port: 52 } });
  assert.equal(device.connectionCount, 0);
  assert.deepEqual(guest.receivedOps(), [REQUEST]);
});

test("connect() before the driver is up waits for it", async () => {
  const device = new VsockDevice({ guestCid });
  const connecting = device.connect(52);
  const guest = new GuestSockets(device);
  guest.offer(1);
  assert.deepEqual(guest.receivedOps(), [REQUEST]);
  guest.send({ op: RESPONSE, srcPort: 52, dstPort: FIRST_LOCAL_PORT });
  assert.equal((await connecting).peerPort, 52);
});

test("a write goes straight into the guest's buffers, as many as it takes, with one interrupt", async () => {
  const { guest, connection } = accepted();
  guest.rig.driver.setUsedEvent(0, 1);
  const before = guest.rig.interrupts();
  const bytes = Uint8Array.from({ length: 10_000 }, (_, index) => index % 251);
  await connection.write(bytes);
  assert.equal(guest.rig.interrupts(), before + 1);
  const packets = guest.received();
  assert.deepEqual(
    packets.map(({ payload }) => payload.length),
    [4096, 4096, 1808],
  );
  assert.deepEqual(new Uint8Array(Buffer.concat(packets.map(({ payload }) => payload))), bytes);
});

test("5.10.6.3.2: no more is sent than the guest has room for; it is asked once, and sending goes on with its credit", async () => {
  const { guest, connection } = accepted({ bufAlloc: 6000 });
  let written = false;
  const writing = connection.write(new Uint8Array(10_000)).then(() => {
    written = true;
  });
  const lengths = (): (readonly [number, number])[] =>
    guest.received().map(({ header, payload }) => [header.op, payload.length] as const);
  assert.deepEqual(lengths(), [
    [RW, 4096],
    [RW, 1904],
    [ASK, 0],
  ]);
  // An answer without news does not make the device ask again.
  guest.send({ op: UPDATE, bufAlloc: 6000, fwdCnt: 0 });
  assert.deepEqual(lengths(), []);
  await turn();
  assert.equal(written, false);
  guest.send({ op: UPDATE, bufAlloc: 6000, fwdCnt: 5000 });
  await writing;
  assert.deepEqual(lengths(), [[RW, 4000]]);
});

test("5.10.6.3: a guest that claims to have forwarded more than it got has no credit", async () => {
  const { guest, connection } = accepted();
  guest.send({ op: UPDATE, bufAlloc: 100, fwdCnt: 1000 });
  void connection.write(Uint8Array.of(1)).catch(() => {});
  assert.deepEqual(guest.receivedOps(), [ASK]);
});

test("5.10.6.3: counters wrap at 2^32 without losing credit", async () => {
  const { guest, connection } = accepted();
  let sent = 0;
  // The counters cannot be set, so the guest's buffer size is used to make the device's sum wrap.
  for (let round = 0; round < 8; round++) {
    await connection.write(new Uint8Array(4096));
    sent += 4096;
    guest.offer(1);
    guest.send({ op: UPDATE, bufAlloc: 0xffff_ffff, fwdCnt: sent });
  }
  assert.deepEqual(
    guest.received().map(({ payload }) => payload.length),
    Array.from({ length: 8 }, () => 4096),
  );
});

test("5.10.6.3: what nobody reads is not acknowledged; what is read is, by three quarters of the buffer", async () => {
  const { guest, connection } = accepted({ bufferBytes: 8192 });
  const reader = connection.incoming[Symbol.asyncIterator]();
  for (let index = 0; index < 4; index++) guest.send({ payload: new Uint8Array(2048) });
  assert.deepEqual(guest.received(), []);
  await reader.next();
  assert.deepEqual(guest.received(), []);
  // The other three.
  await reader.next();
  const [first] = guest.received();
  assert.equal(first?.header.op, UPDATE);
  assert.ok(first.header.fwdCnt >= 6144);
});

test("5.10.6.3: a guest that sends no further ahead than its own buffer reaches hears of credit in time", async () => {
  const { guest, connection } = accepted({ bufferBytes: 65_536, bufAlloc: 4096 });
  guest.send({ payload: new Uint8Array(4096), bufAlloc: 4096 });
  await next(connection);
  const [update] = guest.received();
  assert.deepEqual([update?.header.op, update?.header.fwdCnt], [UPDATE, 4096]);
});

test("5.10.6.3: a guest that sends more than its credit is cut off", async () => {
  const { device, guest, connection } = accepted({ bufferBytes: 8192 });
  for (let index = 0; index < 3; index++) guest.send({ payload: new Uint8Array(4096) });
  assert.deepEqual(guest.receivedOps(), [RST]);
  assert.equal((await connection.closed) instanceof SupermachineError, true);
  assert.equal(device.connectionCount, 0);
  // What came within the credit can still be read, then the reader learns of the break.
  await assert.rejects(readAll(connection), { code: "CONNECTION_LOST" });
});

test("5.10.6.3: a credit request is answered with an update", () => {
  const { guest } = accepted();
  guest.send({ op: ASK });
  const [packet] = guest.received();
  assert.deepEqual([packet?.header.op, packet?.header.bufAlloc], [UPDATE, 524_288]);
});

test("5.10.6.5: a guest that shuts its sending down can still receive; then both ends close", async () => {
  const { device, guest, connection } = accepted();
  guest.send({ payload: Uint8Array.of(1) });
  guest.send({ op: SHUTDOWN, flags: p.VIRTIO_VSOCK_SHUTDOWN_SEND });
  assert.deepEqual(new Uint8Array(await readAll(connection)), Uint8Array.of(1));
  await connection.write(Uint8Array.of(2));
  await connection.end();
  const packets = guest.received();
  assert.deepEqual(
    packets.map(({ header }) => [header.op, header.flags]),
    [
      [RW, 0],
      [SHUTDOWN, p.VIRTIO_VSOCK_SHUTDOWN_BOTH],
    ],
  );
  guest.send({ op: RST });
  assert.equal(await connection.closed, undefined);
  assert.equal(device.connectionCount, 0);
});

test("5.10.6.5: end() is a half close after what was written; the guest's bytes still arrive", async () => {
  const { guest, connection } = accepted({ bufAlloc: 4 });
  const writing = connection.write(Uint8Array.of(1, 2, 3, 4, 5));
  const ending = connection.end();
  assert.deepEqual(guest.receivedOps(), [RW, ASK]);
  guest.send({ op: UPDATE, bufAlloc: 4, fwdCnt: 4 });
  await Promise.all([writing, ending]);
  assert.deepEqual(
    guest.received().map(({ header }) => [header.op, header.flags]),
    [
      [RW, 0],
      [SHUTDOWN, p.VIRTIO_VSOCK_SHUTDOWN_SEND],
    ],
  );
  guest.send({ payload: Uint8Array.of(7), fwdCnt: 5 });
  assert.deepEqual((await next(connection)).value, Uint8Array.of(7));
  await assert.rejects(connection.write(Uint8Array.of(1)), TypeError);
});

test("5.10.6.5: a clean disconnect by the guest is answered with RST; nothing that it sent is lost", async () => {
  const { device, guest, connection } = accepted();
  guest.queue({ payload: Uint8Array.of(1, 2) });
  guest.send({ op: SHUTDOWN, flags: p.VIRTIO_VSOCK_SHUTDOWN_BOTH });
  assert.deepEqual(guest.receivedOps(), [RST]);
  assert.equal(device.connectionCount, 0);
  assert.equal(await connection.closed, undefined);
  assert.deepEqual(new Uint8Array(await readAll(connection)), Uint8Array.of(1, 2));
  await assert.rejects(connection.write(Uint8Array.of(1)), { code: "CONNECTION_LOST" });
});

test("5.10.6.5: shutdown flags stay set when later packets have them clear", async () => {
  const { guest } = accepted();
  guest.send({ op: SHUTDOWN, flags: p.VIRTIO_VSOCK_SHUTDOWN_RCV });
  guest.send({ op: SHUTDOWN, flags: p.VIRTIO_VSOCK_SHUTDOWN_SEND });
  assert.deepEqual(guest.receivedOps(), [RST]);
});

test("5.10.6.5: a guest that receives nothing more fails the writes under way", async () => {
  const { guest, connection } = accepted({ bufAlloc: 0 });
  const writing = connection.write(Uint8Array.of(1));
  guest.send({ op: SHUTDOWN, flags: p.VIRTIO_VSOCK_SHUTDOWN_RCV, bufAlloc: 0 });
  await assert.rejects(writing, { code: "CONNECTION_LOST" });
  await assert.rejects(connection.write(Uint8Array.of(1)), { code: "CONNECTION_LOST" });
});

test("5.10.6.5: RST breaks a connection off: readers and writers learn of it", async () => {
  const { guest, connection } = accepted({ bufAlloc: 0 });
  const writing = connection.write(Uint8Array.of(1));
  guest.send({ op: RST });
  await assert.rejects(writing, { code: "CONNECTION_LOST" });
  await assert.rejects(readAll(connection), { code: "CONNECTION_LOST" });
  // The credit request that was sent, and no RST for the RST.
  assert.deepEqual(guest.receivedOps(), [ASK]);
});

test("cancel() sends RST, frees the port pair and rejects what was being written", async () => {
  const { device, guest, connection } = accepted({ bufAlloc: 0 });
  const writing = connection.write(Uint8Array.of(1));
  connection.cancel();
  connection.cancel();
  await assert.rejects(writing, { code: "ABORTED" });
  assert.deepEqual(guest.receivedOps(), [ASK, RST]);
  assert.equal(device.connectionCount, 0);
});

test("a connection that its listener cancels at once is never accepted", () => {
  const { device, guest } = setup();
  device.listen(80, (connection) => connection.cancel());
  guest.offer(4);
  guest.send({ op: REQUEST });
  assert.deepEqual(guest.receivedOps(), [RST]);
});

test("a reader that leaves early makes the guest stop, and what is under way is acknowledged", async () => {
  const { guest, connection } = accepted({ bufferBytes: 4096 });
  guest.send({ payload: new Uint8Array(10) });
  for await (const _ of connection.incoming) break;
  const [packet] = guest.received();
  assert.deepEqual([packet?.header.op, packet?.header.flags], [SHUTDOWN, p.VIRTIO_VSOCK_SHUTDOWN_RCV]);
  guest.send({ payload: new Uint8Array(4000) });
  assert.deepEqual(guest.receivedOps(), [UPDATE]);
});

test("packets wait for receive buffers, and connections take turns", async () => {
  const { device, guest } = setup();
  const connections: Connection[] = [];
  device.listen(80, (connection) => connections.push(connection));
  guest.offer(2);
  guest.send({ op: REQUEST, srcPort: 1 });
  guest.send({ op: REQUEST, srcPort: 2 });
  assert.deepEqual(guest.receivedOps(), [RESPONSE, RESPONSE]);
  const writes = connections.map((connection) => connection.write(new Uint8Array(8192)));
  guest.offer(3);
  guest.offer(1);
  await Promise.all(writes);
  assert.deepEqual(
    guest.received().map(({ header }) => header.dstPort),
    [1, 2, 1, 2],
  );
});

test("5.10.6.1: with no receive buffers, packets are taken until too many answers wait, and again when they have gone", async () => {
  const { guest } = setup({ memoryBytes: 0x100_0000 });
  const flood = (): void => {
    for (let index = 0; index < 60; index++) guest.queue({ op: REQUEST, srcPort: index });
    guest.rig.driver.notify(1);
  };
  for (let round = 0; round < 18; round++) flood();
  const taken = (): number => guest.rig.host.position(1)?.nextAvailable ?? 0;
  assert.equal(taken(), 1024);
  guest.offer(10);
  await turn();
  assert.equal(taken(), 1034);
});

test("a guest that goes on sending does not keep the event loop to itself", async () => {
  const { device, guest } = setup();
  const { driver, host } = guest.rig;
  for (let index = 0; index < 64; index++) guest.queue({ op: REQUEST });
  let refill = true;
  // As another processor of the guest would: whenever a packet is taken, there is one more.
  device.listen(80, (connection) => {
    connection.cancel();
    if (refill) driver.setAvailableIndex(1, ((host.position(1)?.nextAvailable ?? 0) + 64) & 0xffff);
  });
  guest.offer(1);
  driver.notify(1);
  const taken = device.counters.packetsIn;
  assert.ok(taken > 64 && taken <= 512, `${taken} packets in one turn`);
  refill = false;
  await turn();
  assert.ok(device.counters.packetsIn > taken);
});

test("5.10.6.7: a transport reset breaks all connections, tells the guest and holds requests until it has dealt with it", async () => {
  const { device, guest, connection } = accepted();
  guest.offerEventBuffers(4);
  device.resetConnections();
  assert.equal((await connection.closed) instanceof SupermachineError, true);
  assert.deepEqual(guest.events(), [Uint8Array.of(0, 0, 0, 0)]);
  const connecting = device.connect(52);
  // The old connection's packets are refused meanwhile; the request waits.
  guest.send({ payload: Uint8Array.of(1) });
  assert.deepEqual(guest.receivedOps(), [RST]);
  guest.offerEventBuffers(1);
  assert.deepEqual(guest.receivedOps(), [REQUEST]);
  guest.send({ op: RESPONSE, srcPort: 52, dstPort: FIRST_LOCAL_PORT });
  assert.equal((await connecting).peerPort, 52);
});

test("5.10.6.7: a transport reset waits for an event buffer", () => {
  const { device, guest } = setup();
  device.resetConnections();
  void device.connect(52).catch(() => {});
  guest.offer(2);
  assert.deepEqual(guest.receivedOps(), []);
  guest.offerEventBuffers(1);
  assert.equal(guest.events().length, 1);
  guest.offerEventBuffers(1);
  assert.deepEqual(guest.receivedOps(), [REQUEST]);
});

test("a transport reset is dealt with when there is a new event buffer, not when the queue is looked at", () => {
  const { device, guest } = setup();
  guest.offer(2);
  guest.offerEventBuffers(2);
  device.resetConnections();
  void device.connect(52).catch(() => {});
  // As after a restore, when every queue is looked at once.
  device.onQueue(2);
  assert.deepEqual(guest.receivedOps(), []);
  guest.offerEventBuffers(1);
  assert.deepEqual(guest.receivedOps(), [REQUEST]);
});

test("a driver that goes away takes its connections with it", async () => {
  const { device, guest, connection } = accepted();
  const connecting = device.connect(5);
  guest.rig.driver.writeRegister(0x70, 0);
  await assert.rejects(connecting, { code: "CONNECTION_LOST" });
  assert.equal(((await connection.closed) as SupermachineError).code, "CONNECTION_LOST");
  assert.equal(device.connectionCount, 0);
});

test("close() ends connections, those being made too, and makes no new ones", async () => {
  const { device, connection } = accepted();
  const connecting = device.connect(5);
  device.close();
  await assert.rejects(connecting, { code: "CONNECTION_LOST" });
  assert.notEqual(await connection.closed, undefined);
  await assert.rejects(device.connect(5), { code: "MACHINE_EXITED" });
});

test("a restored device's connections come from ports that the guest has not seen", async () => {
  const { device } = setup();
  void device.connect(1).catch(() => {});
  const restored = new VsockDevice({ guestCid, state: device.save() });
  const guest = new GuestSockets(restored);
  void restored.connect(1).catch(() => {});
  guest.offer(1);
  assert.equal(guest.received()[0]?.header.srcPort, FIRST_LOCAL_PORT + 1);
});

test("listening twice on a port, or on one that does not exist, is refused", () => {
  const { device } = setup();
  device.listen(80, () => {});
  assert.throws(() => device.listen(80, () => {}), RangeError);
  assert.throws(() => device.listen(FIRST_LOCAL_PORT, () => {}), RangeError);
  assert.throws(() => device.listen(-1, () => {}), RangeError);
});

/** A device whose moments pass when the test says so. */
function lingering(): Setup & { moment(): void; readonly waiting: number; interrupts(): number } {
  const tasks = new Set<() => void>();
  const later = (task: () => void): (() => void) => {
    tasks.add(task);
    return () => void tasks.delete(task);
  };
  const device = new VsockDevice({ guestCid, later });
  // Without event indices every interrupt is wanted.
  const guest = new GuestSockets(device, { features: 0n });
  device.listen(80, () => {});
  guest.offer(20);
  return {
    device,
    guest,
    moment: () => {
      for (const task of [...tasks]) task();
    },
    get waiting() {
      return tasks.size;
    },
    interrupts: () => guest.rig.interrupts(),
  };
}

test("what the guest sent it knows to be taken a moment later, with one interrupt", () => {
  const it = lingering();
  it.guest.send({ op: REQUEST, bufAlloc: 65_536 });
  assert.deepEqual(it.guest.receivedOps(), [RESPONSE]);
  assert.equal(it.guest.rig.driver.collect(TX).length, 1, "with a packet of ours at once");
  assert.equal(it.waiting, 0);
  const before = it.interrupts();
  for (const byte of [1, 2, 3]) it.guest.send({ payload: Uint8Array.of(byte) });
  assert.deepEqual(it.guest.rig.driver.collect(TX), []);
  assert.equal(it.interrupts(), before);
  it.moment();
  assert.equal(it.guest.rig.driver.collect(TX).length, 3);
  assert.equal(it.interrupts(), before + 1);
});

test("a guest that sends much is told before its queue is full", () => {
  const it = lingering();
  it.guest.send({ op: REQUEST, bufAlloc: 65_536 });
  it.guest.rig.driver.collect(TX);
  for (let sent = 0; sent < 4; sent++) it.guest.send({ payload: Uint8Array.of(sent) });
  assert.equal(it.guest.rig.driver.collect(TX).length, 4, "a sixteenth of 64");
  assert.equal(it.waiting, 0);
});

test("a device that is to be saved tells first, and one that is reset forgets", async () => {
  const it = lingering();
  it.guest.send({ op: REQUEST, bufAlloc: 65_536 });
  it.guest.rig.driver.collect(TX);
  it.guest.send({ payload: Uint8Array.of(1) });
  await it.device.settled();
  assert.equal(it.guest.rig.driver.collect(TX).length, 1);
  it.guest.send({ payload: Uint8Array.of(2) });
  assert.equal(it.waiting, 1);
  it.device.deactivate();
  assert.equal(it.waiting, 0);
});
