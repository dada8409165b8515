import { randomBytes } from "node:crypto";
import { Machine } from "supermachine";
import { image, machineOptions } from "./images.mjs";
import { medianMs } from "./sample.mjs";

const fileMiB = 32;
const runs = 3;

/** A file through the API, both ways. */
export async function measureFiles({ engine }) {
  const machine = await Machine.create(image("busybox"), machineOptions(engine));
  try {
    const content = randomBytes(fileMiB * 2 ** 20);
    const writeMs = await medianMs(runs, () => machine.files.write("/tmp/file", content));
    const readMs = await medianMs(runs, () => machine.files.read("/tmp/file"));
    return [
      { what: "file write through the API", value: fileMiB / (writeMs / 1000), unit: "MiB/s" },
      { what: "file read through the API", value: fileMiB / (readMs / 1000), unit: "MiB/s" },
    ];
  } finally {
    await machine[Symbol.asyncDispose]();
  }
}
