import type { Fd } from "../../../abi/fd.ts";
import {
  KVM_GET_REGS,
  KVM_GET_SREGS,
  KVM_SET_REGS,
  KVM_SET_SREGS,
  KvmRegs,
  KvmSegment,
  KvmSregs,
} from "../../../abi/kvm.x64.generated.ts";
import type { X64EntryState, X64Segment } from "../../../arch/x64/entry-state.ts";
import { requestKvm } from "../request.ts";
import { writeMsrs } from "./msrs.ts";

/** Puts a vCPU where the entry state says; everything it does not mention keeps its reset value. */
export function applyEntryState(vcpu: Fd, entry: X64EntryState): void {
  const special = new Uint8Array(KvmSregs.size);
  requestKvm(vcpu, KVM_GET_SREGS, special);
  const sregs = new KvmSregs(new DataView(special.buffer));
  Object.assign(sregs, entry.control);
  for (const [name, { base, limit }] of Object.entries(entry.tables ?? {})) {
    if (name === "gdt") Object.assign(sregs, { gdtBase: base, gdtLimit: limit });
    else Object.assign(sregs, { idtBase: base, idtLimit: limit });
  }
  for (const [name, segment] of Object.entries(entry.segments ?? {}))
    writeSegment(new KvmSegment(sregs.view, segmentOffsets[name as keyof typeof segmentOffsets]), segment);
  requestKvm(vcpu, KVM_SET_SREGS, special);

  const general = new Uint8Array(KvmRegs.size);
  requestKvm(vcpu, KVM_GET_REGS, general);
  Object.assign(new KvmRegs(new DataView(general.buffer)), entry.registers);
  requestKvm(vcpu, KVM_SET_REGS, general);

  writeMsrs(vcpu, entry.msrs ?? []);
}

const segmentOffsets = {
  cs: KvmSregs.csOffset,
  ds: KvmSregs.dsOffset,
  es: KvmSregs.esOffset,
  fs: KvmSregs.fsOffset,
  gs: KvmSregs.gsOffset,
  ss: KvmSregs.ssOffset,
  tr: KvmSregs.trOffset,
  ldt: KvmSregs.ldtOffset,
} as const;

function writeSegment(target: KvmSegment, segment: X64Segment): void {
  const {
    present = true,
    privilege = 0,
    codeOrData = true,
    long = false,
    big = false,
    granular = false,
  } = segment;
  target.base = segment.base;
  target.limit = segment.limit;
  target.selector = segment.selector;
  target.type = segment.type;
  target.present = present ? 1 : 0;
  target.dpl = privilege;
  target.s = codeOrData ? 1 : 0;
  target.l = long ? 1 : 0;
  target.db = big ? 1 : 0;
  target.g = granular ? 1 : 0;
  target.avl = 0;
  target.unusable = present ? 0 : 1;
}
