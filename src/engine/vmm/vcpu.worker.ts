import { parentPort, workerData } from "node:worker_threads";
import { runVcpu } from "./vcpu-loop.ts";
import type { VcpuMessage, VcpuThreadData } from "./vcpu-protocol.ts";

const send = (message: VcpuMessage): void => parentPort?.postMessage(message);
runVcpu(workerData as VcpuThreadData, send);
