import { randomBytes } from "node:crypto";
import { Machine } from "supermachine";
import { image, machineOptions } from "./images.mjs";
import { medianMs, withEngine } from "./sample.mjs";

const fileMiB = 32;
const runs = 3;

/** A file through the API, both ways. */
export async function measureFiles({ engines }) {
  const rows = [];
  for (const engine of engines) rows.push(...(await measureOne(engine)));
  return rows;
}

async function measureOne(engine) {
  const machine = await Machine.create(image("busybox"), machineOptions(engine.name));
  try {
    const content = randomBytes(fileMiB * 2 ** 20);
    const writeMs = await medianMs(runs, () => machine.files.write("/tmp/file", content));
    const readMs = await medianMs(runs, () => machine.files.read("/tmp/file"));
    const row = (what, ms) => ({
      what: withEngine(what, engine),
      value: fileMiB / (ms / 1000),
      unit: "MiB/s",
    });
    return [row("file write through the API", writeMs), row("file read through the API", readMs)];
  } finally {
    await machine[Symbol.asyncDispose]();
  }
}
