/** The last lines of a guest's console, bounded whatever the guest writes, and a watch for its kernel's panic. */
export class ConsoleLog {
  readonly #onPanic: () => void;
  readonly #decoder = new TextDecoder();
  readonly #lines: string[] = [];
  #partial = "";
  #hasPanicked = false;

  /** `onPanic` is called once, when the line that announces a kernel panic is complete. */
  constructor(onPanic: () => void = () => {}) {
    this.#onPanic = onPanic;
  }

  /** Takes what the console printed; chunks may end anywhere. */
  push(chunk: Uint8Array): void {
    const [first = "", ...rest] = this.#decoder.decode(chunk, { stream: true }).split("\n");
    this.#partial = (this.#partial + first).slice(0, maxLineLength);
    for (const next of rest) {
      this.#add(this.#partial);
      this.#partial = next.slice(0, maxLineLength);
    }
  }

  get hasPanicked(): boolean {
    return this.#hasPanicked;
  }

  /** Oldest first; an unfinished line is the last. Control characters are left out: the text goes to terminals. */
  lines(): readonly string[] {
    return this.#partial === "" ? [...this.#lines] : [...this.#lines, printable(this.#partial)];
  }

  #add(line: string): void {
    this.#lines.push(printable(line));
    if (this.#lines.length > maxLines) this.#lines.shift();
    if (this.#hasPanicked || !panic.test(line)) return;
    this.#hasPanicked = true;
    this.#onPanic();
  }
}

const maxLines = 200;
const maxLineLength = 1024;
/** As Linux's `panic()` prints it. A guest's root user can fake it, and thereby ends nothing but its own machine. */
const panic = /^(\[ *[0-9]+\.[0-9]+\] ?(\[[^\]]{0,20}\] )?)?Kernel panic - not syncing/;

function printable(line: string): string {
  return line.replace(/[^\P{Cc}\t]/gu, "");
}
