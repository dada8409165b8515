/** What a machine boots: made by `provideKernel`, consumed by every engine. */
export interface GuestKernel {
  /** bzImage or vmlinux (x64), Image (arm64). */
  readonly image: string;
  /** newc archive with the modules and the agent. */
  readonly initramfs: string;
  /** As `uname -r` prints it. */
  readonly release: string;
}

/** Processor architectures that machines can have, in Node's words. */
export type GuestArchitecture = "x64" | "arm64";
