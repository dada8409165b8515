// Talks to server.mjs inside the host. One TCP connection per command: a JSON line, then frames of
// [kind: 1 byte][length: 4 bytes, big endian][payload]. Kinds: 0 stdin (empty: end), 1 stdout, 2 stderr,
// 3 exit (JSON), 4 signal (name).
import { connect } from "node:net";
import { join } from "node:path";
import { frame, readFrames } from "./frames.mjs";

const checkout = join(import.meta.dirname, "..");
const signals = ["SIGINT", "SIGTERM", "SIGHUP"];

/** Runs the command with our working directory, environment and streams; resolves with its exit code. */
export function runInHost({ port, token }, argv, shares) {
  const request = { token, argv, cwd: process.cwd(), env: process.env, shares: [checkout, ...shares] };
  const socket = connect({ port, host: "127.0.0.1" });
  socket.write(`${JSON.stringify(request)}\n`);
  process.stdin.on("data", (bytes) => {
    if (!socket.write(frame(0, bytes))) process.stdin.pause();
  });
  process.stdin.on("end", () => socket.write(frame(0, Buffer.alloc(0))));
  socket.on("drain", () => process.stdin.resume());
  for (const signal of signals) process.on(signal, () => socket.write(frame(4, Buffer.from(signal))));
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("The test host went away while the command ran")));
    readFrames(socket, (kind, payload) => {
      if (kind === 1) process.stdout.write(payload);
      else if (kind === 2) process.stderr.write(payload);
      else if (kind === 3) {
        socket.removeAllListeners("close");
        socket.destroy();
        process.stdin.destroy();
        resolve(exitCode(JSON.parse(payload.toString())));
      }
    });
  });
}

/** True when the host answers within a second. */
export function pingHost({ port, token }) {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    const settle = (answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1000, () => settle(false));
    socket.on("error", () => settle(false));
    socket.on("close", () => settle(false));
    socket.write(`${JSON.stringify({ token, ping: true })}\n`);
    socket.on("data", () => settle(true));
  });
}

function exitCode({ code, signal, error }) {
  if (error !== undefined) {
    console.error(`testhost: ${error}`);
    return 127;
  }
  return signal === null ? code : 128 + signal;
}
