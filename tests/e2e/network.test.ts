// Connections out of a machine, and into it through published ports. Host side on loopback only.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { Machine, SupermachineError } from "../../src/index.ts";
import { testImage } from "../fixtures/images.ts";
import { TestHome } from "./cli.ts";

describe("network", () => {
  let home: TestHome;
  let machine: Machine;
  before(async () => {
    home = new TestHome();
    machine = await Machine.create(testImage("busybox").layout, { ports: ["0:8080"], onWarning: () => {} });
    await machine.shell(
      "mkdir -p /www; echo 'from the guest' >/www/index.html; httpd -p 127.0.0.1:8080 -h /www",
    );
  });
  after(async () => {
    await machine?.[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });

  test("a published port answers on the host's loopback", async () => {
    const [port] = (await machine.info()).ports;
    assert.equal(port?.host, "127.0.0.1");
    const response = await fetch(`http://127.0.0.1:${port?.port}/`);
    assert.equal(await response.text(), "from the guest\n");
  });

  test("forward() opens one more, keeps half-closed connections, and closes", async () => {
    await machine.shell("(nc -l -p 7000 -e sh -c 'cat; echo end' &)");
    await machine.shell("sleep 0.5");
    const forward = await machine.forward({ guestPort: 7000 });
    const socket = connect(forward.port, forward.host);
    let text = "";
    socket.on("data", (bytes) => {
      text += bytes.toString();
    });
    socket.end("question\n");
    await once(socket, "close");
    assert.equal(text, "question\nend\n");
    await forward.close();
    const refused = connect(forward.port, forward.host);
    const [error] = await once(refused, "error");
    assert.equal((error as NodeJS.ErrnoException).code, "ECONNREFUSED");
  });

  test("a port that is taken is named", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    await assert.rejects(
      () => machine.forward({ port, guestPort: 1 }),
      (error: unknown) =>
        error instanceof SupermachineError &&
        error.code === "PORT_IN_USE" &&
        error.message.includes(String(port)),
    );
    server.close();
  });

  test("the guest reaches out through the host", async (t) => {
    const info = await machine.info();
    if (info.engine !== "qemu") return t.skip("outbound network comes with the reference engine for now");
    const server = createServer((_request, response) => response.end("from the host\n")).listen(
      0,
      "127.0.0.1",
    );
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const result = await machine.exec(["wget", "-q", "-O", "-", `http://10.0.2.2:${port}/`]);
    server.close();
    assert.equal(result.stdout, "from the host\n", result.stderr);
  });

  test("`--network none` has no network device but loopback", async () => {
    const result = await home.run([
      "run",
      "--network",
      "none",
      testImage("busybox").layout,
      "ls",
      "/sys/class/net",
    ]);
    assert.equal(result.stdout, "lo\n", result.stderr);
  });
});
