import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { vmmEngine } from "../../src/engine/vmm/engine.ts";
import type { Machine, MachineOptions } from "../../src/index.ts";
import { SupermachineError } from "../../src/index.ts";

const support = await vmmEngine.probe();

/** Why there are no snapshots here, or false. */
export const noSnapshots: string | false = support.usable
  ? false
  : `no snapshots without the engine 'vmm': ${support.reason}`;

/** Small, so that templates, snapshots and copies are made soon. */
export const small = {
  memory: "128MiB",
  cpus: 1,
  network: "none",
  engine: "vmm",
  onWarning: () => {},
} as const satisfies MachineOptions;

/** A number from the environment: how often to do something that takes its time. */
export function times(variable: string, usual: number): number {
  return Number(process.env[variable] ?? usual);
}

export const code =
  (...wanted: string[]) =>
  (error: unknown): boolean =>
    error instanceof SupermachineError && wanted.includes(error.code);

/** What a script prints; it must succeed. */
export async function said(machine: Machine, script: string): Promise<string> {
  return (await machine.shell(script, { check: true })).stdout.trim();
}

/** Runs a script in the background of the guest, as a process of nobody's. */
export async function inBackground(machine: Machine, script: string): Promise<void> {
  await said(machine, `(${script}) >/dev/null 2>&1 </dev/null &`);
}

/** Waits for something to become so; guests in an emulated host take their time. */
export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    if (await isSo()) return;
    await delay(200);
  }
  assert.fail(`It did not happen: ${what}`);
}
