import { Machine } from "supermachine";
import { image, machineOptions } from "./images.mjs";
import { medianMs } from "./sample.mjs";

const roundTrips = 50;
const outputMiB = 64;

/** Round trip of `true` in a running machine, and how fast a command's output arrives. */
export async function measureExec({ engine }) {
  const machine = await Machine.create(image("busybox"), machineOptions(engine));
  try {
    const roundTrip = await medianMs(roundTrips, async () => await machine.exec(["true"]));
    const started = performance.now();
    let length = 0;
    const command = ["dd", "if=/dev/zero", "bs=64k", `count=${outputMiB * 16}`];
    for await (const chunk of machine.exec(command).stdout) length += chunk.length;
    const seconds = (performance.now() - started) / 1000;
    return [
      { what: "exec `true`, round trip", value: roundTrip, unit: "ms" },
      { what: "exec output", value: length / 2 ** 20 / seconds, unit: "MiB/s" },
    ];
  } finally {
    await machine[Symbol.asyncDispose]();
  }
}
