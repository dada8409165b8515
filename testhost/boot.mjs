// Boots the test host and finds the one that is up: state in .cache/testhost/state.json.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pingHost } from "./client.mjs";
import { prepareHost } from "./prepare.mjs";

const checkout = join(import.meta.dirname, "..");
const folder = join(checkout, ".cache", "testhost");
const stateFile = join(folder, "state.json");
const consoleLog = join(folder, "console.log");
/** Software emulation on a loaded machine; 3 to 4 s is usual. */
const bootDeadlineMs = 90_000;
/** How long a host that is up may take to answer. */
const answerDeadlineMs = 60_000;
const memoryMiB = 6144;
const defaultCpus = 2;

/** Returns `{ port, token }` of a host that answers, booting it first when needed. Without `cpus`, any that is up will do. */
export async function bootHost(cpus, report) {
  mkdirSync(folder, { recursive: true });
  const running = await runningHost(cpus);
  if (running !== undefined) return running;
  const releaseLock = await takeLock(report);
  try {
    return (await runningHost(cpus)) ?? (await startHost(cpus ?? defaultCpus, report));
  } finally {
    releaseLock();
  }
}

/** Returns false when there was none. */
export async function stopHost() {
  const state = readState();
  if (state === undefined) return false;
  for (const { pid, startTime } of state.processes) if (isAlive(pid, startTime)) process.kill(pid, "SIGKILL");
  rmSync(stateFile, { force: true });
  return true;
}

async function startHost(cpus, report) {
  const started = performance.now();
  const { emulator, kernel, initrd, scratch } = prepareHost(folder, report);
  await stopHost();
  const processes = [];
  // What the last one said as it went away.
  if (existsSync(consoleLog)) renameSync(consoleLog, `${consoleLog}.old`);
  const log = openSync(consoleLog, "w");
  const daemon = (command, args) => {
    const child = spawn(command, args, { detached: true, stdio: ["ignore", log, log] });
    child.on("error", (error) => report(`${command}: ${error.message}`));
    child.unref();
    if (child.pid === undefined) throw new Error(`Cannot start ${command}: is qemu-system-x86 installed?`);
    processes.push({ pid: child.pid, startTime: startTimeOf(child.pid) });
  };
  const port = await freePort();
  const token = randomBytes(16).toString("hex");
  for (const [name, cache] of [
    ["root", "always"],
    ["live", "auto"],
  ]) {
    rmSync(join(folder, `${name}.sock`), { force: true });
    daemon("/usr/lib/qemu/virtiofsd", [
      `--socket-path=${join(folder, `${name}.sock`)}`,
      ...["-o", `source=/,cache=${cache},xattr,sandbox=chroot`, "--thread-pool-size=4"],
    ]);
  }
  const deadline = Date.now() + bootDeadlineMs;
  while (!existsSync(join(folder, "root.sock")) || !existsSync(join(folder, "live.sock"))) {
    if (Date.now() > deadline) throw new Error(`virtiofsd did not start; see ${consoleLog}`);
    await sleep(20);
  }
  daemon(
    join(emulator, "usr/bin/qemu-system-x86_64"),
    qemuArguments({ emulator, kernel, initrd, scratch, cpus, port, token }),
  );
  closeSync(log);
  writeFileSync(stateFile, JSON.stringify({ port, token, cpus, processes }), { mode: 0o600 });
  while (!(await pingHost({ port, token }))) {
    const qemu = processes.at(-1);
    if (!isAlive(qemu.pid, qemu.startTime) || Date.now() > deadline) {
      await stopHost();
      throw new Error(`The host did not come up; its console is in ${consoleLog}`);
    }
    await sleep(100);
  }
  report(`up after ${((performance.now() - started) / 1000).toFixed(1)} s; testhost/stop ends it`);
  return { port, token };
}

function qemuArguments({ emulator, kernel, initrd, scratch, cpus, port, token }) {
  const share = (name) => [
    ...["-chardev", `socket,id=${name},path=${join(folder, `${name}.sock`)}`],
    ...["-device", `vhost-user-fs-pci,chardev=${name},tag=${name},queue-size=1024`],
  ];
  const kernelArguments = [
    "console=ttyS0 panic=-1 quiet mitigations=off random.trust_cpu=on",
    `testhost.checkout=${checkout} testhost.token=${token} testhost.node=${process.execPath}`,
  ].join(" ");
  return [
    ...["-L", join(emulator, "usr/share/qemu"), "-L", "/usr/share/seabios", "-L", "/usr/share/qemu"],
    // Without its "fast" string instructions: emulated, they go byte by byte, and the kernel clears and copies pages with them.
    ...["-M", "q35", "-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max,-erms,-fsrm"],
    ...[
      "-smp",
      String(cpus),
      "-m",
      `${memoryMiB}M`,
      "-object",
      `memory-backend-memfd,id=ram,size=${memoryMiB}M,share=on`,
    ],
    ...["-numa", "node,memdev=ram", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-serial", "stdio", "-kernel", kernel, "-initrd", initrd, "-append", kernelArguments],
    ...share("root"),
    ...share("live"),
    ...["-drive", `file=${scratch},format=raw,if=virtio,cache=unsafe,discard=unmap`],
    ...["-netdev", `user,id=net,hostfwd=tcp:127.0.0.1:${port}-:1`, "-device", "virtio-net-pci,netdev=net"],
    ...["-device", "virtio-rng-pci"],
  ];
}

async function runningHost(cpus) {
  const state = readState();
  const lives = () => state.processes.every(({ pid, startTime }) => isAlive(pid, startTime));
  if (state === undefined || !lives()) return undefined;
  if (cpus !== undefined && cpus !== state.cpus)
    throw new Error(
      `The host that is up has ${state.cpus} processors, not ${cpus}: end it with testhost/stop`,
    );
  // A busy one takes its time to answer; it must not be taken for a dead one, and replaced under somebody's work.
  for (const deadline = Date.now() + answerDeadlineMs; Date.now() < deadline && lives(); )
    if (await pingHost(state)) return state;
  return undefined;
}

function readState() {
  try {
    return JSON.parse(readFileSync(stateFile, "utf8"));
  } catch {
    return undefined;
  }
}

/** One boot at a time; the lock of a dead process is taken over. */
async function takeLock(report) {
  const path = join(folder, "boot.lock");
  const deadline = Date.now() + 2 * bootDeadlineMs;
  for (let waits = 0; ; waits++) {
    try {
      writeFileSync(path, String(process.pid), { flag: "wx" });
      return () => rmSync(path, { force: true });
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    if (waits === 0) report("waiting for another boot");
    const owner = Number(readFileSync(path, { encoding: "utf8", flag: "a+" }));
    if (!existsSync(`/proc/${owner}`)) rmSync(path, { force: true });
    if (Date.now() > deadline) throw new Error(`Another boot holds ${path}`);
    await sleep(200);
  }
}

/** Process start time, so that a reused pid is not taken for ours (proc(5): field 22 of stat). */
function startTimeOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ")[19];
  } catch {
    return undefined;
  }
}

function isAlive(pid, startTime) {
  return startTime !== undefined && startTimeOf(pid) === startTime;
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
