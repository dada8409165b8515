// Virtio 1.2, section 5.3: console device, with its one port.
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { GuestFault } from "../../memory/guest-fault.ts";
import { SendQueue } from "../../streams/send-queue.ts";
import type { VirtioDevice, VirtioSession } from "../../virtio/device.ts";
import { consoleConfig } from "./config.ts";

export interface ConsoleDeviceOptions {
  /** Takes what the guest prints. While a promise of it is pending, no more is taken: the guest waits. */
  readonly output: (bytes: Uint8Array) => Promise<void> | void;
  readonly columns?: number;
  readonly rows?: number;
}

const RECEIVE = 0;
const TRANSMIT = 1;
const VIRTIO_CONSOLE_F_SIZE: bigint = 1n << 0n;
/** Bytes given to `output` at once. A longer buffer is given in pieces. */
const maxPiece = 65_536;

/** A console: bytes both ways, and the size of the terminal at our end. */
export class ConsoleDevice implements VirtioDevice {
  readonly name = "console";
  readonly type = 3;
  readonly features: bigint = VIRTIO_CONSOLE_F_SIZE;
  readonly queueSizes: readonly number[] = [64, 64];
  config: Uint8Array;
  readonly #output: (bytes: Uint8Array) => Promise<void> | void;
  readonly #input = new SendQueue();
  #session: VirtioSession | undefined;
  /** `output` has not taken yet what it was given. */
  #isWaiting = false;
  /** Bytes of the first request in the queue that have been given to `output`. */
  #printed = 0;

  constructor({ output, columns = 80, rows = 25 }: ConsoleDeviceOptions) {
    this.#output = output;
    this.config = consoleConfig({ columns, rows });
  }

  /** Gives the guest bytes to read; resolves when it has them. They must stay as they are until then. */
  input(bytes: Uint8Array): Promise<void> {
    const taken = this.#input.push(bytes);
    this.#guarded(() => this.#deliver());
    return taken;
  }

  /** The terminal has another size now, in characters. */
  resize(size: { readonly columns: number; readonly rows: number }): void {
    this.config = consoleConfig(size);
    this.#session?.configChanged();
  }

  activate(session: VirtioSession): void {
    this.#session = session;
    this.#printed = 0;
    this.#guarded(() => this.#deliver());
  }

  deactivate(): void {
    this.#session = undefined;
    this.#input.fail(new SupermachineError("CONNECTION_LOST", "The guest's console driver went away"));
  }

  onQueue(index: number): void {
    if (index === TRANSMIT) this.#print();
    else if (index === RECEIVE) this.#deliver();
  }

  #print(): void {
    const session = this.#session;
    const queue = session?.queue(TRANSMIT);
    if (session === undefined || queue === undefined || this.#isWaiting) return;
    let left = queue.size;
    for (; left > 0 && !this.#isWaiting; left--) {
      const chain = queue.pop();
      if (chain === undefined) break;
      const bytes = new Uint8Array(Math.min(Math.max(chain.readableLength - this.#printed, 0), maxPiece));
      chain.read(this.#printed, bytes);
      this.#printed += bytes.length;
      // A buffer with more in it stays the first one of the queue: nothing is held that a snapshot would lose.
      if (this.#printed < chain.readableLength) queue.unpop();
      else {
        this.#printed = 0;
        queue.complete(chain, 0);
      }
      if (bytes.length > 0) this.#give(bytes);
    }
    queue.flush();
    if (left === 0) session.again(TRANSMIT);
  }

  #give(bytes: Uint8Array): void {
    const taking = this.#output(bytes);
    if (!(taking instanceof Promise)) return;
    this.#isWaiting = true;
    const goOn = (): void => {
      this.#isWaiting = false;
      this.#session?.again(TRANSMIT);
    };
    taking.then(goOn, goOn);
  }

  #deliver(): void {
    const queue = this.#session?.queue(RECEIVE);
    if (queue === undefined) return;
    let left = queue.size;
    for (; left > 0 && !this.#input.isEmpty; left--) {
      const chain = queue.pop();
      if (chain === undefined) break;
      queue.complete(chain, chain.write(0, this.#input.take(chain.writableLength)));
    }
    queue.flush();
    if (left === 0) this.#session?.again(RECEIVE);
  }

  /** For calls that come from the host: memory that the guest's buffers lie in may have been taken away. */
  #guarded(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      this.#session?.needsReset(error.message);
    }
  }
}
