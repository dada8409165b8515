import { type Fd, fd } from "../../abi/fd.ts";
import { type Hva, hva } from "../../sys/hva.ts";
import type { VcpuTicket } from "../vcpu.ts";
import type { VcpuTraits } from "./x64/vcpu-traits.ts";

/** All that a thread needs to run a vCPU. Descriptors and addresses hold in the whole process, so this is data. */
export interface KvmVcpuTicket extends VcpuTicket {
  readonly backend: "kvm";
  readonly fd: Fd;
  readonly runAddress: Hva;
  readonly runLength: number;
  /** Shared: the running thread's id, for the kick. */
  readonly thread: Int32Array;
  readonly traits: VcpuTraits;
}

/** Narrows a ticket that came back through a message. */
export function kvmTicket(ticket: VcpuTicket): KvmVcpuTicket {
  if (ticket.backend !== "kvm") throw new TypeError(`A vCPU of ${ticket.backend} cannot be opened by kvm`);
  const known = ticket as KvmVcpuTicket;
  return { ...known, fd: fd(known.fd), runAddress: hva(known.runAddress) };
}
