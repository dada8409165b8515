import { VIRTIO_SLOTS } from "../../arch/x64/layout.ts";
import type { BuiltMachine } from "./build-machine.ts";
import { exitCountsLength } from "./exit-counts.ts";
import { mailboxLength } from "./mailbox.ts";
import { RunningVcpu } from "./running-vcpu.ts";
import type { VcpuStart } from "./vcpu-protocol.ts";
import type { VcpuWorker } from "./vcpu-worker.ts";
import { vcpuWorkers } from "./vcpu-workers.ts";

/** Sets every vCPU of a machine running, each on a thread of its own. */
export function startVcpus(
  built: BuiltMachine,
  { onConsole }: { readonly onConsole: (bytes: Uint8Array) => void },
): readonly RunningVcpu[] {
  // All or none: a vCPU must not run while its machine is given up because another one cannot.
  const workers = vcpuWorkers.take(built.vcpus.length);
  return built.vcpus.map((ticket, index) => {
    const data = {
      ticket,
      start: startOf(built, index),
      slotRegisters: built.slots.registers,
      slotCount: VIRTIO_SLOTS,
      serialState: built.serialState,
      serialInterrupt: built.serialLine.fd,
      mailbox: new SharedArrayBuffer(mailboxLength),
      exitCounts: new SharedArrayBuffer(exitCountsLength),
      wish: new SharedArrayBuffer(4),
    };
    return new RunningVcpu({
      data,
      worker: workers[index] as VcpuWorker,
      kick: () => built.vm.kick(index),
      onRequest: (request) => built.slots.handle(request),
      onConsole,
    });
  });
}

function startOf({ start, vcpus }: BuiltMachine, index: number): VcpuStart {
  if (start.kind === "restored") return start;
  const entry = index === 0 ? start.entry : undefined;
  return { kind: "boot", profile: { index, count: vcpus.length }, entry };
}
