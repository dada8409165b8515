// The conversion thread: one job from workerData, progress and the outcome as messages.
import { parentPort, workerData } from "node:worker_threads";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { buildRootfs, type RootfsJob } from "./build-rootfs.ts";
import type { RootfsMessage } from "./rootfs-message.ts";

const send = (message: RootfsMessage): void => parentPort?.postMessage(message);

void convert();

async function convert(): Promise<void> {
  try {
    await buildRootfs(workerData as RootfsJob, (event) => send({ kind: "progress", event }));
    send({ kind: "done" });
  } catch (error) {
    const known =
      error instanceof SupermachineError
        ? error
        : new SupermachineError("INTERNAL", `Converting the image failed: ${String(error)}`, {
            cause: error,
          });
    send({ kind: "failed", error: known.toJSON() });
  }
}
