import type { AbiDescription, FieldDescription, StructDescription } from "./layout.ts";

const segments = ["cs", "ds", "es", "fs", "gs", "ss", "tr", "ldt"];
const registers = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp"];

/** The part of <linux/kvm.h> that the kvm backend uses on x86-64. */
export const kvmX64: AbiDescription = {
  output: "kvm.x64.generated.ts",
  headers: ["linux/kvm.h"],
  structs: [
    struct("kvm_run", [
      "request_interrupt_window",
      "immediate_exit",
      "exit_reason",
      "ready_for_interrupt_injection",
      "if_flag",
      "flags",
      "hw.hardware_exit_reason",
      "fail_entry.hardware_entry_failure_reason",
      "fail_entry.cpu",
      "io.direction",
      "io.size",
      "io.port",
      "io.count",
      number("io.data_offset"),
      number("mmio.phys_addr"),
      offset("mmio.data"),
      "mmio.len",
      "mmio.is_write",
      "internal.suberror",
      "internal.ndata",
      offset("internal.data"),
      "system_event.type",
      "system_event.ndata",
      offset("system_event.data"),
    ]),
    struct("kvm_userspace_memory_region", [
      "slot",
      "flags",
      number("guest_phys_addr"),
      number("memory_size"),
      "userspace_addr",
    ]),
    struct("kvm_regs", [...registers, ...range("r", 8, 16), "rip", "rflags"]),
    struct("kvm_segment", [
      "base",
      "limit",
      "selector",
      "type",
      "present",
      "dpl",
      "db",
      "s",
      "l",
      "g",
      "avl",
      "unusable",
    ]),
    struct("kvm_sregs", [
      ...segments.map(offset),
      "gdt.base",
      "gdt.limit",
      "idt.base",
      "idt.limit",
      "cr0",
      "cr2",
      "cr3",
      "cr4",
      "cr8",
      "efer",
      "apic_base",
      offset("interrupt_bitmap"),
    ]),
    struct("kvm_cpuid2", ["nent", offset("entries")]),
    struct("kvm_cpuid_entry2", ["function", "index", "flags", "eax", "ebx", "ecx", "edx"]),
    struct("kvm_msr_list", ["nmsrs", offset("indices")]),
    struct("kvm_msrs", ["nmsrs", offset("entries")]),
    struct("kvm_msr_entry", ["index", "data"]),
    struct("kvm_irq_level", ["irq", "level"]),
    struct("kvm_irqfd", ["fd", "gsi", "flags", "resamplefd"]),
    struct("kvm_ioeventfd", ["datamatch", number("addr"), "len", "fd", "flags"]),
    struct("kvm_dirty_log", ["slot", "dirty_bitmap"]),
    struct("kvm_signal_mask", ["len", offset("sigset")]),
    struct("kvm_pit_config", ["flags"]),
    struct("kvm_pit_state2", []),
    struct("kvm_irqchip", ["chip_id"]),
    struct("kvm_clock_data", ["clock", "flags", "realtime", "host_tsc"]),
    struct("kvm_mp_state", ["mp_state"]),
    struct("kvm_vcpu_events", []),
    struct("kvm_debugregs", []),
    struct("kvm_xsave", []),
    struct("kvm_xcrs", []),
    struct("kvm_lapic_state", []),
  ],
  constants: [
    ...ioctls(
      "GET_API_VERSION CREATE_VM CHECK_EXTENSION GET_VCPU_MMAP_SIZE GET_SUPPORTED_CPUID GET_MSR_INDEX_LIST",
    ),
    ...ioctls(
      "CREATE_VCPU SET_USER_MEMORY_REGION SET_TSS_ADDR SET_IDENTITY_MAP_ADDR CREATE_IRQCHIP CREATE_PIT2",
    ),
    ...ioctls("IRQ_LINE IRQFD IOEVENTFD GET_DIRTY_LOG"),
    ...ioctls("GET_IRQCHIP SET_IRQCHIP GET_PIT2 SET_PIT2 GET_CLOCK SET_CLOCK KVMCLOCK_CTRL"),
    ...ioctls(
      "RUN GET_REGS SET_REGS GET_SREGS SET_SREGS GET_MSRS SET_MSRS SET_CPUID2 GET_CPUID2 SET_SIGNAL_MASK",
    ),
    ...ioctls("GET_XSAVE GET_XSAVE2 SET_XSAVE GET_XCRS SET_XCRS GET_LAPIC SET_LAPIC"),
    ...ioctls("GET_MP_STATE SET_MP_STATE GET_VCPU_EVENTS SET_VCPU_EVENTS GET_DEBUGREGS SET_DEBUGREGS"),
    ...ioctls("GET_TSC_KHZ SET_TSC_KHZ"),
    ...capabilities("NR_VCPUS MAX_VCPUS NR_MEMSLOTS USER_MEMORY IRQCHIP IRQFD IOEVENTFD"),
    ...capabilities(
      "IOEVENTFD_ANY_LENGTH READONLY_MEM IMMEDIATE_EXIT SET_TSS_ADDR EXT_CPUID XSAVE XSAVE2 XCRS",
    ),
    ...capabilities("DEBUGREGS VCPU_EVENTS MP_STATE ADJUST_CLOCK"),
    ...capabilities(
      "GET_TSC_KHZ TSC_CONTROL KVMCLOCK_CTRL TSC_DEADLINE_TIMER DISABLE_QUIRKS X86_DISABLE_EXITS",
    ),
    ...constants("KVM_API_VERSION KVM_MEM_LOG_DIRTY_PAGES KVM_MEM_READONLY KVM_PIT_SPEAKER_DUMMY"),
    ...constants("KVM_EXIT_UNKNOWN KVM_EXIT_IO KVM_EXIT_HLT KVM_EXIT_MMIO"),
    ...constants("KVM_EXIT_IRQ_WINDOW_OPEN KVM_EXIT_SHUTDOWN KVM_EXIT_FAIL_ENTRY KVM_EXIT_INTR"),
    ...constants("KVM_EXIT_INTERNAL_ERROR KVM_EXIT_SYSTEM_EVENT KVM_EXIT_IO_IN"),
    ...constants("KVM_SYSTEM_EVENT_SHUTDOWN KVM_SYSTEM_EVENT_RESET"),
    ...constants("KVM_INTERNAL_ERROR_EMULATION KVM_INTERNAL_ERROR_SIMUL_EX KVM_INTERNAL_ERROR_DELIVERY_EV"),
    ...constants("KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON"),
    ...constants("KVM_IRQFD_FLAG_DEASSIGN"),
    ...constants("KVM_IOEVENTFD_FLAG_DATAMATCH KVM_IOEVENTFD_FLAG_DEASSIGN"),
    ...constants("KVM_IRQCHIP_PIC_MASTER KVM_IRQCHIP_PIC_SLAVE KVM_IRQCHIP_IOAPIC"),
    ...constants("KVM_CPUID_FLAG_SIGNIFCANT_INDEX"),
    ...constants(
      "KVM_MP_STATE_RUNNABLE KVM_MP_STATE_UNINITIALIZED KVM_MP_STATE_INIT_RECEIVED KVM_MP_STATE_HALTED",
    ),

    ...constants(
      "KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE KVM_CLOCK_REALTIME KVM_CLOCK_TSC_STABLE KVM_CLOCK_HOST_TSC",
    ),
  ],
};

function struct(name: string, fields: readonly FieldDescription[]): StructDescription {
  return { name, fields };
}

function number(path: string): FieldDescription {
  return { path, as: "number" };
}

function offset(path: string): FieldDescription {
  return { path, as: "offset" };
}

function range(prefix: string, from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, index) => `${prefix}${from + index}`);
}

function constants(names: string): string[] {
  return names.split(" ");
}

function ioctls(names: string): string[] {
  return constants(names).map((name) => `KVM_${name}`);
}

function capabilities(names: string): string[] {
  return constants(names).map((name) => `KVM_CAP_${name}`);
}
