import { Worker } from "node:worker_threads";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { ProgressListener } from "../../progress/progress.ts";
import type { RootfsJob } from "./build-rootfs.ts";
import { rootfsAborted } from "./rootfs-aborted.ts";
import type { RootfsMessage } from "./rootfs-message.ts";

/**
 * Runs `buildRootfs` on a thread of its own. An abort ends the thread at once, in the middle of whatever it does, and
 * rejects with ABORTED; files it had open are closed, not removed.
 */
export async function convertInThread(
  job: RootfsJob,
  { onProgress, signal }: { onProgress?: ProgressListener | undefined; signal?: AbortSignal | undefined },
): Promise<void> {
  if (signal?.aborted) throw rootfsAborted(signal);
  const worker = new Worker(new URL("./convert.worker.js", import.meta.url), {
    workerData: job,
    // The thread needs nothing of the caller's process options (a test runner's loader, an inspector).
    execArgv: [],
  });
  let onAbort: (() => void) | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      onAbort = () => reject(signal === undefined ? undefined : rootfsAborted(signal));
      signal?.addEventListener("abort", onAbort, { once: true });
      worker.on("message", (message: RootfsMessage) => {
        if (message.kind === "progress") onProgress?.(message.event);
        else if (message.kind === "done") resolve();
        else reject(SupermachineError.fromJSON(message.error));
      });
      worker.on("error", (error) => reject(threadFailure(error)));
      worker.on("exit", () => reject(threadFailure(new Error("The thread ended without a word"))));
    });
  } finally {
    if (onAbort !== undefined) signal?.removeEventListener("abort", onAbort);
    await worker.terminate();
  }
}

function threadFailure(error: Error): SupermachineError {
  const outOfMemory = "code" in error && error.code === "ERR_WORKER_OUT_OF_MEMORY";
  return outOfMemory
    ? new SupermachineError("ARCHIVE_INVALID", "The image holds more files than fit into memory", {
        hint: "If the image is what you expect, give Node more memory: NODE_OPTIONS=--max-old-space-size=8192",
        cause: error,
      })
    : new SupermachineError("INTERNAL", "The conversion thread failed", { cause: error });
}
