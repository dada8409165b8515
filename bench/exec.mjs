import { Machine } from "supermachine";
import { image, machineOptions } from "./images.mjs";
import { medianMs, withEngine } from "./sample.mjs";

/** Until what they run is compiled: whichever engine comes first would pay for both. */
const warmUps = 30;
const roundTrips = 50;
const outputMiB = 64;

/** Round trip of `true` in a running machine, and how fast a command's output arrives. */
export async function measureExec({ engines }) {
  const rows = [];
  for (const engine of engines) rows.push(...(await measureOne(engine)));
  return rows;
}

async function measureOne(engine) {
  const machine = await Machine.create(image("busybox"), machineOptions(engine.name));
  try {
    for (let i = 0; i < warmUps; i++) await machine.exec(["true"]);
    const roundTrip = await medianMs(roundTrips, async () => await machine.exec(["true"]));
    const started = performance.now();
    let length = 0;
    const command = ["dd", "if=/dev/zero", "bs=64k", `count=${outputMiB * 16}`];
    for await (const chunk of machine.exec(command).stdout) length += chunk.length;
    const seconds = (performance.now() - started) / 1000;
    return [
      { what: withEngine("exec `true`, round trip", engine), value: roundTrip, unit: "ms" },
      { what: withEngine("exec output", engine), value: length / 2 ** 20 / seconds, unit: "MiB/s" },
    ];
  } finally {
    await machine[Symbol.asyncDispose]();
  }
}
