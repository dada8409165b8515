import type { GuestMemory } from "../../memory/guest-memory.ts";
import { type BootFile, badKernel, type LoadedKernel, readRange } from "./kernel-file.ts";
import { isBzImage, loadBzImage } from "./load-bzimage.ts";
import { loadElf } from "./load-elf.ts";

/** Copies a kernel into memory that is still all zeros; recognises vmlinux (ELF) and bzImage. */
export function loadKernel(memory: GuestMemory, file: BootFile): LoadedKernel {
  const magic = readRange(file, 0, 4).getUint32(0, false);
  if (magic === 0x7f45_4c46) return loadElf(memory, file);
  if (isBzImage(file)) return loadBzImage(memory, file);
  throw badKernel(file, "it is neither an ELF file nor a bzImage");
}
