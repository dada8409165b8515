import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { resolveMachine } from "./machine-spec.ts";
import { parseMemory } from "./memory-size.ts";
import { parsePort } from "./published-port.ts";
import type { MachineOptions } from "./types.ts";

const host = { cpus: 8 };

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof SupermachineError, String(error));
    assert.equal(error.code, "INVALID_ARGUMENT");
    return error.message;
  }
  return assert.fail("It was accepted");
}

test("resolveMachine() fills in every default and freezes the result", () => {
  const config = resolveMachine("alpine", {}, host);
  assert.deepEqual(
    [config.memoryMiB, config.cpus, config.network, config.pull, config.engine, config.detached],
    [512, 2, "user", "missing", "auto", false],
  );
  assert.equal(config.reclaimAfterMs, 15_000);
  assert.equal(resolveMachine("alpine", { reclaimAfterMs: false }, host).reclaimAfterMs, false);
  assert.ok(Object.isFrozen(config));
  assert.equal(resolveMachine("alpine", {}, { cpus: 1 }).cpus, 1);
  assert.doesNotThrow(() => structuredClone(config));
});

test("resolveMachine() names the option that is wrong", () => {
  const wrong: [Record<string, unknown>, RegExp][] = [
    [{ memroy: 1 }, /'memroy' does not exist/],
    [{ cpus: 0 }, /'cpus' must be 1 to 64/],
    [{ cpus: 1.5 }, /'cpus'/],
    [{ memory: "512" }, /memory size '512'/],
    [{ memory: {} }, /'memory' is Object/],
    [{ name: "-x" }, /'name'/],
    [{ env: { "A=B": "x" } }, /'env/],
    [{ env: { A: "x\0" } }, /'env.A' contains a NUL/],
    [{ workdir: "relative" }, /'workdir' must be an absolute path/],
    [{ hostname: "a b" }, /'hostname'/],
    [{ network: "bridge" }, /'network'/],
    [{ ports: ["x"] }, /published port 'x'/],
    [{ command: "ls -l" }, /'command' is "ls -l", where Array is expected/],
    [{ bootTimeoutMs: 0 }, /'bootTimeoutMs'/],
    [{ reclaimAfterMs: 0 }, /'reclaimAfterMs' must be 1 to 86400000 milliseconds, or false/],
    [{ reclaimAfterMs: Number.NaN }, /'reclaimAfterMs'/],
    [{ reclaimAfterMs: true }, /'reclaimAfterMs' is true/],
  ];
  for (const [options, message] of wrong)
    assert.match(
      refusal(() => resolveMachine("alpine", options as MachineOptions, host)),
      message,
    );
  assert.match(
    refusal(() => resolveMachine("", {}, host)),
    /image/,
  );
});

test("parseMemory() reads numbers as MiB and strings with their unit, as docker does", () => {
  const sizes: [string | number, number][] = [
    [512, 512],
    ["512MiB", 512],
    ["512m", 512],
    ["512MB", 512],
    ["1g", 1024],
    ["1.5GiB", 1536],
    ["268435456b", 256],
    ["262144 k", 256],
  ];
  for (const [text, wanted] of sizes) assert.equal(parseMemory(text), wanted, String(text));
  for (const bad of ["", "m", "512", "-1g", "1e3m", "1x", Number.NaN, -5, 1, "9999t"])
    refusal(() => parseMemory(bad));
});

test("parsePort() reads what docker's -p reads, for TCP", () => {
  const ports: [string, [string, number, number]][] = [
    ["8080:80", ["127.0.0.1", 8080, 80]],
    ["0:80", ["127.0.0.1", 0, 80]],
    ["80", ["127.0.0.1", 0, 80]],
    ["0.0.0.0:8080:80", ["0.0.0.0", 8080, 80]],
    ["127.0.0.2::80", ["127.0.0.2", 0, 80]],
    ["[::1]:8080:80", ["::1", 8080, 80]],
    ["8080:80/tcp", ["127.0.0.1", 8080, 80]],
  ];
  for (const [text, [address, port, guestPort]] of ports)
    assert.deepEqual(parsePort(text), { host: address, port, guestPort }, text);
  for (const bad of [
    "",
    ":",
    "80:",
    "a:80",
    "80:0",
    "65536:80",
    "80:65536",
    "80:80/udp",
    "1:2:3:4",
    "::1:80:80",
  ])
    refusal(() => parsePort(bad));
  refusal(() => parsePort({ port: 80 }));
});

test("parsePort() and parseMemory() either answer or refuse, whatever they are given", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      for (const parse of [parsePort, parseMemory])
        try {
          parse(text);
        } catch (error) {
          assert.ok(error instanceof SupermachineError);
        }
    }),
  );
});
