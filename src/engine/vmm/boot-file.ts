import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { BootFile } from "../../arch/x64/kernel-file.ts";
import { SupermachineError } from "../../errors/supermachine-error.ts";

/** Opens a kernel or initramfs for reading into guest memory. Throws KERNEL_NOT_FOUND, or BOOT_FAILED. */
export function openBootFile(path: string): BootFile & Disposable {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (cause) {
    throw cannotOpen(path, cause);
  }
  return {
    name: path,
    length: fstatSync(fd).size,
    read: (position, into) => readFully(fd, { path, position, into }),
    [Symbol.dispose]: () => closeSync(fd),
  };
}

function cannotOpen(path: string, cause: unknown): SupermachineError {
  const errno = cause instanceof Error && "code" in cause ? cause.code : undefined;
  const message = `Cannot open '${path}': ${errno}`;
  // The file may well be there: it is this process that has too many open.
  if (errno === "EMFILE" || errno === "ENFILE")
    return new SupermachineError("BOOT_FAILED", message, { cause });
  const hint = "Check that the file exists and may be read";
  return new SupermachineError("KERNEL_NOT_FOUND", message, { hint, cause });
}

function readFully(
  fd: number,
  { path, position, into }: { path: string; position: number; into: Uint8Array },
): void {
  for (let done = 0; done < into.length; ) {
    const count = readSync(fd, into, done, into.length - done, position + done);
    if (count === 0)
      throw new SupermachineError("KERNEL_NOT_FOUND", `'${path}' became shorter while it was read`);
    done += count;
  }
}
