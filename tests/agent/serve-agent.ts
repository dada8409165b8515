import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { arch, tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { AgentClient } from "../../src/agent/client.ts";
import type { AgentExec, ExecExit, ExecRequest } from "../../src/agent/requests.ts";
import { duplexTransport } from "../../src/agent/transports/duplex.ts";

/** The real agent, below a root of its own, without a machine around it. */
export interface ServedAgent extends AsyncDisposable {
  readonly agent: AgentClient;
  /** The guest's root as the host sees it. */
  readonly root: string;
  readonly stream: Duplex;
}

const repository = join(import.meta.dirname, "..", "..", "..");
const busyboxCommands =
  "sh cat echo true false head tail seq sleep id pwd stty tty env kill dd md5sum wc ls yes printf nc".split(
    " ",
  );

/** Why the real agent cannot be run here; undefined when it can. */
export function whyNot(): string | undefined {
  if (process.platform !== "linux") return "the guest agent runs on Linux only";
  if (process.getuid?.() !== 0) return "the agent's chroot needs root";
  return undefined;
}

export async function serveAgent(options: { cgroup?: string } = {}): Promise<ServedAgent> {
  const process = startAgent(options);
  return { ...process, agent: await AgentClient.connect(duplexTransport(process.stream)) };
}

/** As `serveAgent`, before anything has been said to it. */
export function startAgent(options: { cgroup?: string } = {}): Omit<ServedAgent, "agent"> {
  const binary = build();
  const root = makeRoot();
  const cgroup = options.cgroup === undefined ? [] : ["--cgroup", options.cgroup];
  const child = spawn(binary, ["--fd", "3", "--root", root, ...cgroup], {
    stdio: ["ignore", "inherit", "inherit", "pipe"],
  });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  const stream = child.stdio[3] as Duplex;
  return {
    root,
    stream,
    async [Symbol.asyncDispose]() {
      stream.destroy();
      await exited;
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** The real agent at a socket, which outlives its connections. */
export interface ListeningAgent extends AsyncDisposable {
  /** A new connection replaces the one before. */
  connect(): Promise<{ agent: AgentClient; socket: Socket }>;
}

export async function listenAgent(options: { cgroup?: string } = {}): Promise<ListeningAgent> {
  const root = makeRoot();
  const cgroup = options.cgroup === undefined ? [] : ["--cgroup", options.cgroup];
  const child = spawn(build(), ["--listen", "/agent.sock", "--root", root, ...cgroup], { stdio: "inherit" });
  const path = join(root, "agent.sock");
  return {
    async connect() {
      const socket = await connected(path);
      return { socket, agent: await AgentClient.connect(duplexTransport(socket)) };
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await once(child, "exit");
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** The agent may only just have been started. */
async function connected(path: string): Promise<Socket> {
  for (let tries = 0; ; tries++) {
    const socket = connect(path);
    try {
      await once(socket, "connect");
      return socket;
    } catch (error) {
      if (tries === 500) throw error;
      await sleep(10);
    }
  }
}

export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** The defaults of most tests' commands. */
export function request(argv: readonly string[], more: Partial<ExecRequest> = {}): ExecRequest {
  return { argv, env: ["PATH=/bin"], stdin: false, ...more };
}

export async function finish(exec: AgentExec): Promise<{ stdout: string; stderr: string; exit: ExecExit }> {
  const [stdout, stderr, exit] = await Promise.all([collect(exec.stdout), collect(exec.stderr), exec.exit]);
  return { stdout: stdout.toString(), stderr: stderr.toString(), exit };
}

let built: string | undefined;

function build(): string {
  if (built === undefined) {
    const out = join(repository, "guest", "build", arch() === "arm64" ? "aarch64" : "x86_64");
    execFileSync("make", ["-s", "-C", join(repository, "guest", "agent"), `OUT=${out}`], {
      stdio: "inherit",
    });
    built = join(out, "agent");
  }
  return built;
}

function makeRoot(): string {
  const root = mkdtempSync(join(tmpdir(), "supermachine-agent-"));
  chmodSync(root, 0o755);
  for (const folder of ["bin", "dev", "etc", "home/ann", "tmp"])
    mkdirSync(join(root, folder), { recursive: true });
  execFileSync("cp", ["/bin/busybox", join(root, "bin")]);
  for (const name of busyboxCommands) execFileSync("ln", ["-s", "busybox", join(root, "bin", name)]);
  execFileSync("mknod", ["-m", "666", join(root, "dev/null"), "c", "1", "3"]);
  execFileSync("mknod", ["-m", "666", join(root, "dev/zero"), "c", "1", "5"]);
  writeFileSync(
    join(root, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001:Ann:/home/ann:/bin/sh\nbroken\n12:x:12:12::/:\n",
  );
  writeFileSync(
    join(root, "etc/group"),
    "root:x:0:\nann:x:1001:\naudio:x:29:bob,ann\nvideo:x:44:ann\nsudo:x:27:bob\n",
  );
  return root;
}
