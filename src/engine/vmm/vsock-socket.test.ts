import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { VsockDevice } from "../../devices/vsock/device.ts";
import * as p from "../../devices/vsock/packet.ts";
import { type GuestPacket, GuestSockets, guestCid } from "../../devices/vsock/testing/guest-sockets.ts";
import { VsockSocket } from "./vsock-socket.ts";

/** A device with its socket, and the guest's half; no machine. */
class Rig implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "vsock-"));
  readonly path: string = join(this.folder, "vsock.sock");
  readonly device: VsockDevice = new VsockDevice({ guestCid, bufferBytes: 65_536 });
  readonly guest: GuestSockets = new GuestSockets(this.device);
  readonly socket: VsockSocket = new VsockSocket(this.path, this.device);
  readonly #servers: Server[] = [];
  #packets: GuestPacket[] = [];

  constructor() {
    this.guest.offer(30);
  }

  /** The next packet of this kind that the guest gets; those before it are dropped. */
  async packet(op: number): Promise<GuestPacket> {
    for (let tries = 0; tries < 200; tries++) {
      this.#packets.push(...this.guest.received());
      for (let next = this.#packets.shift(); next !== undefined; next = this.#packets.shift())
        if (next.header.op === op) return next;
      await sleep(5);
    }
    throw new Error(`the guest gets no packet ${op}`);
  }

  client(): Socket {
    return connect({ path: this.path, allowHalfOpen: true });
  }

  /** A client that asked for a port, and the header of the request that reached the guest. */
  async request(port: number): Promise<{ client: Socket; header: p.VsockHeader }> {
    const client = this.client();
    client.write(`CONNECT ${port}\n`);
    const { header } = await this.packet(p.VIRTIO_VSOCK_OP_REQUEST);
    assert.equal(header.dstPort, port);
    return { client, header };
  }

  /** The same, and the guest has accepted. */
  async connected(port: number): Promise<{ client: Socket; ports: { srcPort: number; dstPort: number } }> {
    const { client, header } = await this.request(port);
    const ports = { srcPort: header.dstPort, dstPort: header.srcPort };
    this.guest.send({ op: p.VIRTIO_VSOCK_OP_RESPONSE, ...ports });
    assert.equal(await text(client, 1), `OK ${header.srcPort}\n`);
    return { client, ports };
  }

  /** A Unix socket where connections from the guest to `port` go. */
  async listener(port: number): Promise<Server> {
    const server = createServer({ allowHalfOpen: true });
    this.#servers.push(server);
    server.listen(`${this.path}_${port}`);
    await once(server, "listening");
    return server;
  }

  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]();
    this.device.close();
    for (const server of this.#servers) server.close();
    rmSync(this.folder, { recursive: true });
  }
}

/** What arrives in so many pieces. */
async function text(socket: Socket, pieces: number): Promise<string> {
  let all = "";
  for (let count = 0; count < pieces; count++) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    all += chunk.toString();
  }
  return all;
}

async function allText(socket: Socket): Promise<string> {
  let all = "";
  for await (const chunk of socket) all += chunk;
  return all;
}

test("only the user of the monitor can open the socket, and it goes with its machine", () => {
  let path: string;
  {
    using rig = new Rig();
    path = rig.path;
    assert.equal(statSync(path).mode & 0o777, 0o600);
  }
  assert.equal(existsSync(path), false);
});

test("CONNECT joins a client to a port in the guest, and bytes go both ways", async () => {
  using rig = new Rig();
  const { client, ports } = await rig.connected(52);
  client.write("ping");
  assert.equal(Buffer.from((await rig.packet(p.VIRTIO_VSOCK_OP_RW)).payload).toString(), "ping");
  rig.guest.send({ ...ports, payload: Buffer.from("pong") });
  assert.equal(await text(client, 1), "pong");
  client.destroy();
  await rig.packet(p.VIRTIO_VSOCK_OP_SHUTDOWN);
});

test("what follows the request in the same packet is the guest's", async () => {
  using rig = new Rig();
  const client = rig.client();
  client.write("CONNECT 52\r\nfirst bytes");
  const { header } = await rig.packet(p.VIRTIO_VSOCK_OP_REQUEST);
  rig.guest.send({ op: p.VIRTIO_VSOCK_OP_RESPONSE, srcPort: 52, dstPort: header.srcPort });
  assert.equal(Buffer.from((await rig.packet(p.VIRTIO_VSOCK_OP_RW)).payload).toString(), "first bytes");
  client.destroy();
});

test("a connection that the guest refuses is closed without a word", async () => {
  using rig = new Rig();
  const { client, header } = await rig.request(99);
  rig.guest.send({ op: p.VIRTIO_VSOCK_OP_RST, srcPort: 99, dstPort: header.srcPort });
  assert.equal(await allText(client), "");
});

const refusedLines = [
  "\n",
  "CONNECT\n",
  "CONNECT -1\n",
  "CONNECT 0x10\n",
  "CONNECT 4294967295\n",
  "connect 52\n",
  "CONNECT 52 53\n",
  "GET / HTTP/1.1\r\n",
  "x".repeat(100_000),
  `CONNECT 52${" ".repeat(100)}\n`,
];
for (const line of refusedLines)
  test(`a client that says ${JSON.stringify(line.slice(0, 30))} is dropped`, async () => {
    using rig = new Rig();
    const client = rig.client();
    client.on("error", () => {});
    client.write(line);
    client.resume();
    await new Promise((resolve) => client.once("end", resolve).once("close", resolve));
    client.destroy();
    assert.deepEqual(rig.guest.received(), []);
    assert.equal(rig.device.connectionCount, 0);
  });

test("a client that sends half a line holds up nobody else, and is dropped when it leaves", async () => {
  using rig = new Rig();
  const slow = rig.client();
  slow.write("CONN");
  const { client } = await rig.connected(52);
  client.destroy();
  assert.equal(slow.destroyed, false);
  slow.end();
  assert.equal(await allText(slow), "");
});

test("a client that has sent everything still gets the answer; the end of the guest's side ends it", async () => {
  using rig = new Rig();
  const { client, ports } = await rig.connected(52);
  client.end("question");
  await rig.packet(p.VIRTIO_VSOCK_OP_RW);
  const shutdown = await rig.packet(p.VIRTIO_VSOCK_OP_SHUTDOWN);
  assert.equal(shutdown.header.flags, p.VIRTIO_VSOCK_SHUTDOWN_SEND);
  rig.guest.send({ ...ports, payload: Buffer.from("answer") });
  rig.guest.send({ ...ports, op: p.VIRTIO_VSOCK_OP_SHUTDOWN, flags: p.VIRTIO_VSOCK_SHUTDOWN_BOTH });
  assert.equal(await allText(client), "answer");
});

test("a guest that has sent everything can still be written to", async () => {
  using rig = new Rig();
  const { client, ports } = await rig.connected(52);
  rig.guest.send({ ...ports, op: p.VIRTIO_VSOCK_OP_SHUTDOWN, flags: p.VIRTIO_VSOCK_SHUTDOWN_SEND });
  client.resume();
  await once(client, "end");
  client.write("late");
  assert.equal(Buffer.from((await rig.packet(p.VIRTIO_VSOCK_OP_RW)).payload).toString(), "late");
  client.end();
});

test("a guest that closes its socket closes an idle client's", async () => {
  using rig = new Rig();
  const { client, ports } = await rig.connected(52);
  client.resume();
  rig.guest.send({ ...ports, op: p.VIRTIO_VSOCK_OP_SHUTDOWN, flags: p.VIRTIO_VSOCK_SHUTDOWN_BOTH });
  await once(client, "end");
  client.on("error", () => {});
  // Its half of the socket has no reader any more: sooner or later a write says so.
  while (!client.destroyed) {
    client.write("anybody?");
    await sleep(5);
  }
});

test("a client that does not read stops the guest, and gets all once it reads", async () => {
  using rig = new Rig();
  const { client, ports } = await rig.connected(52);
  client.pause();
  const piece = new Uint8Array(16_384).fill(65);
  let sent = 0;
  let credit = 65_536;
  let forwarded = 0;
  // As a guest does: never more than the buffer that is free.
  const pump = async (until: () => boolean): Promise<void> => {
    for (let idle = 0; idle < 40 && !until(); ) {
      for (const { header } of rig.guest.received()) {
        forwarded = header.fwdCnt;
        rig.guest.offer(1);
      }
      credit = 65_536 - (sent - forwarded);
      if (credit >= piece.length) {
        rig.guest.send({ ...ports, payload: piece });
        sent += piece.length;
        idle = 0;
      } else idle++;
      await sleep(2);
    }
  };
  await pump(() => sent > 8 * 2 ** 20);
  assert.ok(sent < 4 * 2 ** 20, `${sent} bytes were taken of a guest whose client does not read`);
  const before = sent;
  let got = 0;
  client.on("data", (chunk) => {
    got += chunk.length;
  });
  client.resume();
  await pump(() => sent >= before + 2 ** 20);
  rig.guest.send({ ...ports, op: p.VIRTIO_VSOCK_OP_SHUTDOWN, flags: p.VIRTIO_VSOCK_SHUTDOWN_SEND });
  await once(client, "end");
  assert.equal(got, sent);
  client.destroy();
});

test("a guest that does not read stops the client", async () => {
  using rig = new Rig();
  const { client } = await rig.connected(52);
  let taken = 0;
  const chunk = new Uint8Array(65_536);
  for (let tries = 0; tries < 40; tries++) {
    if (client.write(chunk)) taken += chunk.length;
    else await sleep(2);
  }
  assert.ok(client.writableLength > 0 && taken < 2 ** 20);
  client.destroy();
});

test("a connection from the guest reaches the Unix socket named for its port", async () => {
  using rig = new Rig();
  const server = await rig.listener(700);
  const accepted = once(server, "connection") as Promise<[Socket]>;
  rig.guest.send({ op: p.VIRTIO_VSOCK_OP_REQUEST, srcPort: 1234, dstPort: 700 });
  const [host] = await accepted;
  await rig.packet(p.VIRTIO_VSOCK_OP_RESPONSE);
  rig.guest.send({ srcPort: 1234, dstPort: 700, payload: Buffer.from("from the guest") });
  assert.equal(await text(host, 1), "from the guest");
  host.end("from the host");
  assert.equal(Buffer.from((await rig.packet(p.VIRTIO_VSOCK_OP_RW)).payload).toString(), "from the host");
  await rig.packet(p.VIRTIO_VSOCK_OP_SHUTDOWN);
});

test("a connection from the guest to where nobody listens is refused", async () => {
  using rig = new Rig();
  rig.guest.send({ op: p.VIRTIO_VSOCK_OP_REQUEST, srcPort: 1234, dstPort: 701 });
  const { header } = await rig.packet(p.VIRTIO_VSOCK_OP_RST);
  assert.deepEqual([header.srcPort, header.dstPort], [701, 1234]);
  assert.equal(rig.device.connectionCount, 0);
});

test("a guest that gives up or sends before it is answered is no trouble", async () => {
  using rig = new Rig();
  await rig.listener(700);
  for (const op of [p.VIRTIO_VSOCK_OP_RST, p.VIRTIO_VSOCK_OP_RW, p.VIRTIO_VSOCK_OP_REQUEST]) {
    rig.guest.send({ op: p.VIRTIO_VSOCK_OP_REQUEST, srcPort: 1234, dstPort: 700 });
    rig.guest.send({ op, srcPort: 1234, dstPort: 700 });
    assert.equal(rig.device.connectionCount, 0);
    await sleep(20);
  }
  assert.equal(rig.device.connectionCount, 0);
});

test("the end of the machine ends its clients", async () => {
  using rig = new Rig();
  const { client } = await rig.connected(52);
  client.resume();
  rig.socket[Symbol.dispose]();
  rig.device.close();
  await once(client, "end");
});

test("a path that cannot be bound is a typed error", () => {
  using rig = new Rig();
  const failures = { [rig.path]: "EADDRINUSE", [join(rig.folder, "none", "x")]: "ENOENT" };
  const tooLong = { [join(rig.folder, "x".repeat(120))]: "ENAMETOOLONG" };
  for (const [path, errno] of Object.entries({ ...failures, ...tooLong }))
    assert.throws(() => new VsockSocket(path, new VsockDevice({ guestCid })), {
      code: "BOOT_FAILED",
      data: { errno },
    });
});
