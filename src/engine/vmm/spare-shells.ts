import { type MachineShell, makeShell, type ShellShape } from "./machine-shell.ts";

/** Made when no machine has become ready for this long: a spare must not compete with a guest that starts. */
const calmMs = 200;
/** What was expected for so long does not come. */
const idleMs = 60_000;

interface Spare {
  readonly shape: ShellShape;
  readonly shell: MachineShell;
  readonly retirement: NodeJS.Timeout;
}

/**
 * Shells that are made before they are needed. To make one, the kernel waits several times until no processor can still
 * use what was before, and that takes longer than everything else on the host's side of a start. One is kept, of the shape that was started
 * last: programs that start many machines start them alike.
 */
export class SpareShells implements Disposable {
  readonly #make: (shape: ShellShape) => MachineShell;
  #spare: Spare | undefined;
  #calm: NodeJS.Timeout | undefined;
  #started = 0;

  constructor(make: (shape: ShellShape) => MachineShell = makeShell) {
    this.#make = make;
  }

  /** The spare one, if it is of this shape, or one that is made now. */
  take(shape: ShellShape): MachineShell {
    const spare = this.#spare;
    if (spare === undefined || !isSame(spare.shape, shape)) return this.#make(shape);
    this.#spare = undefined;
    clearTimeout(spare.retirement);
    return spare.shell;
  }

  /** To be called when a machine of this shape is set up. A process's first, which may be its only one, leaves none. */
  expectMore(shape: ShellShape): void {
    this.#started += 1;
    if (this.#started < 2) return;
    clearTimeout(this.#calm);
    this.#calm = setTimeout(() => this.#fill(shape), calmMs).unref();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#calm);
    this.#retire();
  }

  #fill(shape: ShellShape): void {
    if (this.#spare !== undefined && isSame(this.#spare.shape, shape)) return;
    this.#retire();
    try {
      const shell = this.#make(shape);
      const retirement = setTimeout(() => this.#retire(), idleMs).unref();
      this.#spare = { shape, shell, retirement };
    } catch {
      // A spare is a kindness: whoever needs one hears why there is none.
    }
  }

  #retire(): void {
    clearTimeout(this.#spare?.retirement);
    this.#spare?.shell[Symbol.dispose]();
    this.#spare = undefined;
  }
}

function isSame(one: ShellShape, other: ShellShape): boolean {
  const { cpus, memoryMiB, rootLength } = one;
  return cpus === other.cpus && memoryMiB === other.memoryMiB && rootLength === other.rootLength;
}

/** One for all machines of the process. */
export const spareShells: SpareShells = new SpareShells();
