import assert from "node:assert/strict";
import { test } from "node:test";
import { commandLine, guestDefaults, mergeEnv } from "./guest-command.ts";
import { signalName, signalNumber } from "./guest-signals.ts";
import { resolveMachine } from "./machine-spec.ts";
import type { ImageConfig, MachineOptions } from "./types.ts";

const image: ImageConfig = {
  env: ["PATH=/opt/bin", "A=1"],
  entrypoint: ["/entry"],
  cmd: ["default"],
  workingDir: "",
  user: "",
  stopSignal: "",
  volumes: [],
  exposedPorts: [],
  labels: {},
};
const defaults = (options: MachineOptions, changes: Partial<ImageConfig> = {}) =>
  guestDefaults({ ...image, ...changes }, resolveMachine("x", options, { cpus: 1 }));

test("commandLine() follows docker: arguments replace Cmd, a new entrypoint drops it", () => {
  assert.deepEqual(commandLine(defaults({}), {}), ["/entry", "default"]);
  assert.deepEqual(commandLine(defaults({}), { argv: ["x", "y"] }), ["/entry", "x", "y"]);
  assert.deepEqual(commandLine(defaults({}), { entrypoint: ["/other"] }), ["/other"]);
  assert.deepEqual(commandLine(defaults({}), { entrypoint: [], argv: ["x"] }), ["x"]);
  assert.deepEqual(commandLine(defaults({ entrypoint: ["/mine"] }), {}), ["/mine"]);
  assert.deepEqual(commandLine(defaults({ entrypoint: ["/mine"] }), { argv: ["x"] }), ["/mine", "x"]);
  assert.throws(() => commandLine({ entrypoint: [], cmd: [] }, {}), { code: "INVALID_ARGUMENT" });
});

test("guestDefaults() lays the machine's options over the image's configuration", () => {
  const { env, workingDir, user, stopSignal } = defaults({ env: { A: "2", B: "3" }, user: "1000" });
  assert.deepEqual(env, ["PATH=/opt/bin", "A=2", "B=3"]);
  assert.deepEqual([workingDir, user, stopSignal], ["/", "1000", "SIGTERM"]);
});

test("guestDefaults() gives an image without a PATH docker's", () => {
  assert.match(defaults({}, { env: [] }).env[0] ?? "", /^PATH=.*\/usr\/bin:/);
});

test("mergeEnv() keeps equals signs in values and drops what is no assignment", () => {
  assert.deepEqual(mergeEnv(["A=b=c", "nothing", "=x"], {}), ["A=b=c"]);
});

test("signalNumber() knows names with and without SIG, numbers, and real-time signals", () => {
  for (const [given, number] of [
    ["SIGTERM", 15],
    ["term", 15],
    ["9", 9],
    [2, 2],
    ["SIGRTMIN+3", 37],
  ] as const)
    assert.equal(signalNumber(given), number);
  for (const bad of ["SIGNOPE", "", 0, 65, "SIGRTMIN+99", "constructor"])
    assert.throws(() => signalNumber(bad), { code: "INVALID_ARGUMENT" });
  assert.deepEqual([signalName(9), signalName(40)], ["SIGKILL", "SIG40"]);
});
