// The yardstick for `exits.mjs`: the same guest, run by the smallest loop around KVM_RUN that can run it.
// usage: exits CODE-FILE ; prints the nanoseconds at which each line feed reached the serial port.
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MEMORY = 4 << 20, CODE_AT = 0x100000, TABLES_AT = 0x9000, MAX_MARKS = 1000 };

static void *check(const char *what, void *result) {
  if (result == MAP_FAILED) {
    perror(what);
    exit(1);
  }
  return result;
}

static int checked(const char *what, int result) {
  check(what, result < 0 ? MAP_FAILED : NULL);
  return result;
}

// One to one, 4 GiB in pages of 2 MiB.
static void write_tables(uint8_t *memory) {
  uint64_t *level4 = (uint64_t *)(memory + TABLES_AT);
  uint64_t *level3 = level4 + 512;
  uint64_t *level2 = level3 + 512;
  level4[0] = (TABLES_AT + 0x1000) | 3;
  for (int gib = 0; gib < 4; gib++) level3[gib] = (TABLES_AT + 0x2000 + gib * 0x1000) | 3;
  for (uint64_t page = 0; page < 2048; page++) level2[page] = page << 21 | 0x83;
}

static void enter_long_mode(int vcpu) {
  struct kvm_sregs sregs;
  checked("KVM_GET_SREGS", ioctl(vcpu, KVM_GET_SREGS, &sregs));
  struct kvm_segment code = {.limit = ~0u, .selector = 0x10, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
  struct kvm_segment data = {.limit = ~0u, .selector = 0x18, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
  sregs.cs = code;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
  sregs.cr0 = 0x80000011;  // PG, ET, PE
  sregs.cr3 = TABLES_AT;
  sregs.cr4 = 0x20;    // PAE
  sregs.efer = 0x500;  // LMA, LME
  checked("KVM_SET_SREGS", ioctl(vcpu, KVM_SET_SREGS, &sregs));
  struct kvm_regs regs = {.rip = CODE_AT, .rflags = 2};
  checked("KVM_SET_REGS", ioctl(vcpu, KVM_SET_REGS, &regs));
}

static void set_cpuid(int kvm, int vcpu) {
  struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + 256 * sizeof cpuid->entries[0]);
  cpuid->nent = 256;
  checked("KVM_GET_SUPPORTED_CPUID", ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid));
  checked("KVM_SET_CPUID2", ioctl(vcpu, KVM_SET_CPUID2, cpuid));
  free(cpuid);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  int kvm = checked("/dev/kvm", open("/dev/kvm", O_RDWR | O_CLOEXEC));
  int vm = checked("KVM_CREATE_VM", ioctl(kvm, KVM_CREATE_VM, 0));
  checked("KVM_SET_IDENTITY_MAP_ADDR", ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &(uint64_t){0xfffbc000}));
  checked("KVM_SET_TSS_ADDR", ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000));
  checked("KVM_CREATE_IRQCHIP", ioctl(vm, KVM_CREATE_IRQCHIP, 0));
  uint8_t *memory =
      check("mmap", mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  struct kvm_userspace_memory_region region = {.memory_size = MEMORY, .userspace_addr = (uintptr_t)memory};
  checked("KVM_SET_USER_MEMORY_REGION", ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region));
  int file = checked(argv[1], open(argv[1], O_RDONLY));
  checked("read", read(file, memory + CODE_AT, 4096));
  write_tables(memory);
  int vcpu = checked("KVM_CREATE_VCPU", ioctl(vm, KVM_CREATE_VCPU, 0));
  set_cpuid(kvm, vcpu);
  enter_long_mode(vcpu);
  int size = checked("KVM_GET_VCPU_MMAP_SIZE", ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
  struct kvm_run *run = check("mmap", mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0));

  static struct timespec marks[MAX_MARKS];
  int count = 0;
  for (;;) {
    checked("KVM_RUN", ioctl(vcpu, KVM_RUN, 0));
    if (run->exit_reason == KVM_EXIT_MMIO && !run->mmio.is_write) {
      memset(run->mmio.data, 0x5a, run->mmio.len);
    } else if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT) {
      uint8_t byte = *((uint8_t *)run + run->io.data_offset);
      if (run->io.port == 0x3f8 && byte == '\n' && count < MAX_MARKS)
        clock_gettime(CLOCK_MONOTONIC, &marks[count++]);
      else if (run->io.port == 0x600)
        break;
    } else {
      fprintf(stderr, "exit %u\n", run->exit_reason);
      return 1;
    }
  }
  for (int at = 0; at < count; at++)
    printf("%lld\n", (long long)marks[at].tv_sec * 1000000000 + marks[at].tv_nsec);
  return 0;
}
