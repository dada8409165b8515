import type { VirtioDevice, VirtioSession } from "../device.ts";

/** Answers each request with its own readable bytes; one queue more than it needs, and eight bytes of configuration. */
export class EchoDevice implements VirtioDevice {
  readonly name = "echo";
  readonly type = 42;
  readonly features: bigint = 1n << 3n;
  readonly queueSizes: readonly number[] = [16, 4];
  readonly config: Uint8Array = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  readonly sharedRegions: readonly { start: number; length: number }[] = [
    { start: 0x1_2345_0000, length: 0x2_0000_1000 },
  ];
  session: VirtioSession | undefined;
  deactivations = 0;

  activate(session: VirtioSession): void {
    this.session = session;
  }

  deactivate(): void {
    this.session = undefined;
    this.deactivations++;
  }

  writeConfig(offset: number, data: Uint8Array): void {
    this.config.set(data, offset);
  }

  onQueue(index: number): void {
    const queue = this.session?.queue(index);
    if (queue === undefined) return;
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      // From what the chain really holds, never from what it claims.
      const bytes = new Uint8Array(Math.min(chain.readableLength, 4096));
      const length = chain.read(0, bytes);
      queue.complete(chain, chain.write(0, bytes.subarray(0, length)));
    }
    queue.flush();
  }
}
