import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Debian's `docker-registry` on a loopback port, with its data in a folder of its own. */
export class LoopbackRegistry implements AsyncDisposable {
  readonly host: string;
  readonly #process: ChildProcess;
  readonly #folder: string;

  private constructor(host: string, process: ChildProcess, folder: string) {
    this.host = host;
    this.#process = process;
    this.#folder = folder;
  }

  /** `htpasswd`: lines of an Apache password file; who is not in it is refused. */
  static async start(options: { htpasswd?: string } = {}): Promise<LoopbackRegistry> {
    const folder = mkdtempSync(join(tmpdir(), "supermachine-registry-"));
    const host = `127.0.0.1:${await freePort()}`;
    const config: Record<string, unknown> = {
      version: 0.1,
      log: { level: "error", accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(folder, "data") } },
      http: { addr: host },
    };
    if (options.htpasswd !== undefined) {
      const path = join(folder, "htpasswd");
      writeFileSync(path, options.htpasswd);
      config["auth"] = { htpasswd: { realm: "test", path } };
    }
    // JSON is YAML.
    writeFileSync(join(folder, "config.yml"), JSON.stringify(config));
    const child = spawn("docker-registry", ["serve", join(folder, "config.yml")], { stdio: "ignore" });
    const registry = new LoopbackRegistry(host, child, folder);
    await registry.#ready();
    return registry;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    if (this.#process.exitCode === null && this.#process.kill("SIGKILL")) await ended;
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #ready(): Promise<void> {
    for (let attempt = 0; attempt < 100; attempt++) {
      const answer = await fetch(`http://${this.host}/v2/`).catch(() => undefined);
      if (answer !== undefined) return;
      await sleep(100);
    }
    await this[Symbol.asyncDispose]();
    throw new Error("docker-registry does not answer");
  }
}

/** A TCP relay that lets only so many bytes a second through, so that a download can be caught in the act. */
export class SlowRelay implements Disposable {
  readonly host: string;
  /** Let through towards the client so far. */
  bytes = 0;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  private constructor(server: Server, port: number, sockets: Set<Socket>) {
    this.host = `127.0.0.1:${port}`;
    this.#server = server;
    this.#sockets = sockets;
  }

  static async start(target: string, bytesPerSecond: number): Promise<SlowRelay> {
    const port = Number(target.split(":")[1]);
    const sockets = new Set<Socket>();
    const server = createServer();
    const relay = new SlowRelay(server, await listen(server), sockets);
    server.on("connection", (near) => {
      const far = connect(port, "127.0.0.1");
      for (const socket of [near, far]) {
        sockets.add(socket);
        socket.on("error", () => undefined);
      }
      near.pipe(far);
      near.on("close", () => far.destroy());
      far.on("end", () => near.end());
      far.on("data", (chunk) => {
        near.write(chunk);
        relay.bytes += chunk.length;
        far.pause();
        setTimeout(() => far.resume(), (chunk.length / bytesPerSecond) * 1000);
      });
    });
    return relay;
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("No port");
  return address.port;
}
