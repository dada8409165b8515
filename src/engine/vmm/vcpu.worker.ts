import { parentPort } from "node:worker_threads";
import { awaitVcpu, runVcpu } from "./vcpu-loop.ts";
import type { VcpuJob, VcpuMessage } from "./vcpu-protocol.ts";

const send = (message: VcpuMessage): void => parentPort?.postMessage(message);
awaitVcpu();
// One vCPU after the other: the next is heard of when the event loop runs again, which it does in between only.
parentPort?.on("message", (data: VcpuJob) => runVcpu(data, send));
