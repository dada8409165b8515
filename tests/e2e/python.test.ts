// A distribution with a large runtime: its own tests pass in a guest, on one processor and on several.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { Machine } from "../../src/index.ts";
import { testImage } from "../fixtures/images.ts";
import { TestHome } from "./cli.ts";

/** Chosen for many cases in little time: emulated machines run them too. */
const modules: readonly string[] =
  "test_dict test_bisect test_textwrap test_string test_list test_shlex test_dataclasses".split(" ");

/** Each worker stays on a processor of its own and sums up numbers there. */
const parallelSums = `
import multiprocessing, os
def work(cpu):
    os.sched_setaffinity(0, {cpu})
    total = sum(n * n for n in range(200_000))
    with open("/proc/self/stat") as stat:
        return total, int(stat.read().rsplit(")", 1)[1].split()[36])
cpus = sorted(os.sched_getaffinity(0))
with multiprocessing.Pool(len(cpus)) as pool:
    results = pool.map(work, cpus, chunksize=1)
print(len(cpus), sorted(cpu for _, cpu in results) == cpus, {total for total, _ in results})
`;

/** Answers the first connection with the length and the digest of all it sent, and accepts no second one. */
const server = `
import hashlib, socket
listener = socket.socket(socket.AF_VSOCK)
listener.bind((socket.VMADDR_CID_ANY, 5000))
listener.listen()
print("listening", flush=True)
connection, _ = listener.accept()
listener.close()
digest, length = hashlib.sha256(), 0
while data := connection.recv(65536):
    digest.update(data)
    length += len(data)
connection.sendall(f"{length} {digest.hexdigest()}".encode())
connection.close()
`;

/** Connects to the host twice: where somebody listens, and where nobody does. */
const client = `
import socket
connection = socket.socket(socket.AF_VSOCK)
connection.connect((2, 6000))
connection.sendall(b"x" * 3_000_000)
connection.shutdown(socket.SHUT_WR)
print(connection.recv(100, socket.MSG_WAITALL).decode())
other = socket.socket(socket.AF_VSOCK)
try:
    other.connect((2, 6001))
except OSError as error:
    print(type(error).__name__)
`;

describe("a guest with Debian and python3", () => {
  let home: TestHome;
  before(() => {
    home = new TestHome();
  });
  after(() => home[Symbol.asyncDispose]());

  const create = (cpus: number): Promise<Machine> =>
    Machine.create(testImage("python").layout, { cpus, memory: "512MiB", onWarning: () => {} });

  const python = async (machine: Machine, program: string): Promise<string> => {
    const result = await machine.exec(["python3", "-c", program]);
    assert.equal(result.exitCode, 0, result.stderr);
    return result.stdout.trim();
  };

  for (const cpus of [1, 4])
    test(`has ${cpus} processors that all work, and add up right`, async () => {
      const machine = await create(cpus);
      try {
        assert.equal((await machine.exec(["nproc"])).stdout, `${cpus}\n`);
        assert.equal(await python(machine, parallelSums), `${cpus} True {2666646666700000}`);
      } finally {
        await machine[Symbol.asyncDispose]();
      }
    });

  test("passes several hundred of Python's own tests", async (t) => {
    const machine = await create(2);
    try {
      const result = await machine.exec(["python3", "-m", "test", "-v", ...modules]);
      const output = result.stdout + result.stderr;
      assert.equal(result.exitCode, 0, output.slice(-5000));
      const counts = [...output.matchAll(/^Ran ([0-9]+) tests/gm)].map((match) => Number(match[1]));
      const cases = counts.reduce((sum, count) => sum + count, 0);
      t.diagnostic(`${cases} cases`);
      assert.equal(counts.length, modules.length);
      assert.ok(cases >= 500, `${cases} cases`);
    } finally {
      await machine[Symbol.asyncDispose]();
    }
  });

  test("reaches programs of the host through Unix sockets, and they reach it", async (t) => {
    const machine = await create(1);
    try {
      const { vsockSocket: path, engine } = await machine.info();
      if (path === undefined) return t.skip(`the engine '${engine}' has no vsock`);

      await toGuest(machine, path);
      await fromGuest(machine, path);
    } finally {
      await machine[Symbol.asyncDispose]();
    }
  });
});

async function toGuest(machine: Machine, path: string): Promise<void> {
  await using serving = machine.exec(["python3", "-c", server]);
  for await (const _ of serving.stdout) break; // It listens.
  const sent = new Uint8Array(3_000_000).map((_, index) => index % 251);
  const socket = connect({ path, allowHalfOpen: true });
  socket.write("CONNECT 5000\n");
  const [greeting] = (await once(socket, "data")) as [Buffer];
  assert.match(greeting.toString(), /^OK [0-9]+\n$/);
  socket.end(sent);
  const digest = createHash("sha256").update(sent).digest("hex");
  assert.equal(await received(socket), `${sent.length} ${digest}`);

  const refused = connect(path);
  refused.write("CONNECT 5000\n");
  assert.equal(await received(refused), "");
}

async function fromGuest(machine: Machine, path: string): Promise<void> {
  const host = createServer({ allowHalfOpen: true }, (socket) => {
    let length = 0;
    socket.on("data", (chunk) => {
      length += chunk.length;
    });
    socket.on("end", () => socket.end(`${length} bytes`));
  });
  host.listen(`${path}_6000`);
  try {
    const { stdout, stderr } = await machine.exec(["python3", "-c", client]);
    assert.equal(stdout, "3000000 bytes\nConnectionResetError\n", stderr);
  } finally {
    host.close();
  }
}

async function received(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket) text += chunk;
  return text;
}
