import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { BootFile } from "../../arch/x64/kernel-file.ts";
import { SupermachineError } from "../../errors/supermachine-error.ts";

/** Opens a kernel or initramfs for reading into guest memory. Throws KERNEL_NOT_FOUND. */
export function openBootFile(path: string): BootFile & Disposable {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (cause) {
    throw new SupermachineError("KERNEL_NOT_FOUND", `Cannot read '${path}'`, {
      hint: "Check that the file exists and may be read",
      cause,
    });
  }
  return {
    name: path,
    length: fstatSync(fd).size,
    read: (position, into) => readFully(fd, { path, position, into }),
    [Symbol.dispose]: () => closeSync(fd),
  };
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
