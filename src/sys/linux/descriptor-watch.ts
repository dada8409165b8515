import type { Fd } from "../../abi/fd.ts";
import {
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLLIN,
  EpollEvent,
} from "../../abi/linux.x64.generated.ts";
import { NativeFunction } from "../native-function.ts";
import { EventFd } from "./eventfd.ts";
import { OwnedFd } from "./file.ts";
import { checked, consumeErrno } from "./system-error.ts";

const nativeCreate = new NativeFunction<[number], number>("int epoll_create1(int flags)");
const nativeControl = new NativeFunction<[number, number, number, Uint8Array], number>(
  "int epoll_ctl(int epoll, int operation, int fd, void *event)",
);
const nativeWait = new NativeFunction<[number, Uint8Array, number, number], number>(
  "int epoll_wait(int epoll, void *events, int count, int timeout)",
);

/** How many ready descriptors one wait reports; more come with the next. */
const eventCount = 64;
/** After work was done, more often follows at once: look again this often before a thread is put to sleep. */
const busyLooks = 4;

/**
 * Calls back on this thread's event loop when descriptors become readable, for those that Node itself cannot wait
 * for, such as eventfds. However many are watched, they take one thread of Node's pool, and none while there are
 * none. Level-triggered: a callback that leaves its descriptor readable is called again.
 */
export class DescriptorWatch {
  readonly #callbacks: Map<Fd, () => void> = new Map();
  readonly #events: Uint8Array = new Uint8Array(eventCount * EpollEvent.size);
  readonly #event: EpollEvent = new EpollEvent(new DataView(this.#events.buffer));
  #open: { readonly epoll: OwnedFd; readonly wake: EventFd } | undefined;
  #isWaiting = false;

  /** Watches until the result is disposed of, which must be before the descriptor is closed. */
  add(fd: Fd, onReadable: () => void): Disposable {
    if (this.#callbacks.has(fd)) throw new RangeError(`Descriptor ${fd} is already watched`);
    const { epoll } = this.#start();
    control(epoll.fd, EPOLL_CTL_ADD, fd);
    this.#callbacks.set(fd, onReadable);
    if (!this.#isWaiting) void this.#run();
    return {
      [Symbol.dispose]: () => {
        if (!this.#callbacks.delete(fd)) return;
        if (this.#open !== undefined) control(this.#open.epoll.fd, EPOLL_CTL_DEL, fd);
        if (this.#callbacks.size === 0) this.#open?.wake.signal();
      },
    };
  }

  #start(): { readonly epoll: OwnedFd; readonly wake: EventFd } {
    if (this.#open !== undefined) return this.#open;
    const epoll = new OwnedFd(checked(consumeErrno(nativeCreate.call(EPOLL_CLOEXEC)), "epoll_create1"));
    try {
      const wake = new EventFd();
      control(epoll.fd, EPOLL_CTL_ADD, wake.fd);
      this.#open = { epoll, wake };
      return this.#open;
    } catch (error) {
      epoll[Symbol.dispose]();
      throw error;
    }
  }

  async #run(): Promise<void> {
    this.#isWaiting = true;
    while (this.#callbacks.size > 0) {
      const { epoll } = this.#start();
      let ready = 0;
      for (let look = 0; look < busyLooks && ready === 0; look++)
        ready = nativeWait.call(epoll.fd, this.#events, eventCount, 0);
      if (ready <= 0) ready = await nativeWait.callInPool(epoll.fd, this.#events, eventCount, -1);
      this.#dispatch(ready);
      // Timers, sockets and messages have their turn between two rounds.
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#isWaiting = false;
    this.#open?.wake[Symbol.dispose]();
    this.#open?.epoll[Symbol.dispose]();
    this.#open = undefined;
  }

  #dispatch(ready: number): void {
    const fds = Array.from(
      { length: Math.max(ready, 0) },
      (_, index) => this.#event.at(index * EpollEvent.size).dataFd,
    );
    for (const fd of fds) {
      if (fd === this.#open?.wake.fd) this.#open.wake.take();
      else this.#callbacks.get(fd as Fd)?.();
    }
  }
}

function control(epoll: Fd, operation: number, fd: Fd): void {
  const bytes = new Uint8Array(EpollEvent.size);
  const event = new EpollEvent(new DataView(bytes.buffer));
  event.events = EPOLLIN;
  event.dataFd = fd;
  checked(consumeErrno(nativeControl.call(epoll, operation, fd, bytes)), "epoll_ctl");
}
