import { VIRTIO_SLOTS } from "../../arch/x64/layout.ts";
import { resetSerialState, serialStateWords } from "../../devices/serial/state.ts";
import type { BuiltMachine } from "./build-machine.ts";
import { exitCountsLength } from "./exit-counts.ts";
import { mailboxLength } from "./mailbox.ts";
import { VcpuThread } from "./vcpu-thread.ts";

/** Sets every vCPU of a machine running, each on a thread of its own. */
export function startVcpuThreads(
  built: BuiltMachine,
  { onConsole }: { readonly onConsole: (bytes: Uint8Array) => void },
): readonly VcpuThread[] {
  const serialState = new SharedArrayBuffer(serialStateWords * 4);
  resetSerialState(new Int32Array(serialState));
  return built.vcpus.map((ticket, index) => {
    const data = {
      ticket,
      profile: { index, count: built.vcpus.length },
      entry: index === 0 ? built.entry : undefined,
      slotRegisters: built.slots.registers,
      slotCount: VIRTIO_SLOTS,
      serialState,
      serialInterrupt: built.serialLine.fd,
      mailbox: new SharedArrayBuffer(mailboxLength),
      exitCounts: new SharedArrayBuffer(exitCountsLength),
      stop: new SharedArrayBuffer(4),
    };
    return new VcpuThread({
      data,
      kick: () => built.vm.kick(index),
      onRequest: (request) => built.slots.handle(request),
      onConsole,
    });
  });
}
