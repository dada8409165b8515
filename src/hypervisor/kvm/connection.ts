import type { Fd } from "../../abi/fd.ts";
import { requestKvm } from "./request.ts";

/**
 * What the parts of a VM ask its kernel side for, until the VM ends. Then nothing need be given back any more: the kernel lets
 * go of everything when the descriptor is closed. It makes no difference but to how long an end takes, for the kernel waits
 * for its own readers after each request that takes an interrupt line, a doorbell or a memory slot away.
 */
export class KvmConnection {
  readonly #vm: Fd;
  #isOver = false;

  constructor(vm: Fd) {
    this.#vm = vm;
  }

  /** See `requestKvm`. */
  request(request: number, argument: Uint8Array): void {
    if (this.#isOver) throw new TypeError("The VM is gone");
    requestKvm(this.#vm, request, argument);
  }

  /** The same, for what ends with the VM anyway. */
  release(request: number, argument: Uint8Array): void {
    if (!this.#isOver) requestKvm(this.#vm, request, argument);
  }

  end(): void {
    this.#isOver = true;
  }
}
