// Runs inside the test host, started by its init: runs commands for client.mjs. Loopback of the outer machine is
// the only way in (QEMU's port forwarding), and the token of the boot is asked for.
import { execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { constants } from "node:os";
import { frame, readFrames } from "./frames.mjs";

const token = /testhost\.token=(\S+)/.exec(readFileSync("/proc/cmdline", "utf8"))[1];
const shared = new Set();

createServer((socket) => {
  socket.on("error", () => {});
  let header = Buffer.alloc(0);
  socket.on("data", function readHeader(chunk) {
    header = Buffer.concat([header, chunk]);
    const end = header.indexOf(10);
    if (end === -1) return;
    socket.off("data", readHeader);
    const request = JSON.parse(header.subarray(0, end).toString());
    if (request.token !== token) socket.destroy();
    else if (request.ping) socket.end("pong");
    else runCommand(socket, request, header.subarray(end + 1));
  });
}).listen(1, "0.0.0.0");

function runCommand(socket, { argv, cwd, env, shares }, rest) {
  try {
    for (const folder of shares) share(folder);
  } catch (error) {
    socket.end(frame(3, Buffer.from(JSON.stringify({ error: `cannot share: ${error.message}` }))));
    return;
  }
  const [command, ...args] = argv;
  const child = spawn(command, args, { cwd, env: { ...env, TESTHOST: "1" }, detached: true });
  const forward = (kind, stream) =>
    stream.on("data", (bytes) => {
      if (socket.write(frame(kind, bytes))) return;
      stream.pause();
      socket.once("drain", () => stream.resume());
    });
  forward(1, child.stdout);
  forward(2, child.stderr);
  child.stdin.on("error", () => {});
  const finish = (outcome) => socket.end(frame(3, Buffer.from(JSON.stringify(outcome))));
  child.on("error", (error) => finish({ error: error.message }));
  child.on("close", (code, signal) =>
    finish({ code, signal: signal === null ? null : constants.signals[signal] }),
  );
  socket.on("close", () => signalGroup(child, "SIGKILL"));
  readFrames(
    socket,
    (kind, payload) => {
      if (kind === 0 && payload.length === 0) child.stdin.end();
      else if (kind === 0) child.stdin.write(payload);
      else if (kind === 4) signalGroup(child, payload.toString());
    },
    rest,
  );
}

/** Makes a folder of the outer machine writable here, at its own path. */
function share(folder) {
  if (shared.has(folder)) return;
  execFileSync("mount", ["--bind", `/live${folder}`, folder]);
  shared.add(folder);
}

function signalGroup(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It has ended already.
  }
}
