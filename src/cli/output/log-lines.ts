import type { LogEntry } from "../../machine/types.ts";

/** A line of a log with its line break, if it has one yet. */
export interface LogLine {
  readonly stream: LogEntry["stream"];
  /** Milliseconds since 1970, of the line's first byte. */
  readonly time: number;
  readonly bytes: Uint8Array;
}

/** Cuts the pieces of a log into lines, each stream on its own. Long lines come in parts, to bound what is held. */
export class LogLines {
  readonly #open = new Map<LogEntry["stream"], { time: number; parts: Uint8Array[]; length: number }>();

  /** The lines that a piece completes, oldest first. */
  push(entry: LogEntry): LogLine[] {
    const lines: LogLine[] = [];
    let start = 0;
    while (start < entry.bytes.length) {
      const newline = entry.bytes.indexOf(0x0a, start);
      const end = newline < 0 ? entry.bytes.length : newline + 1;
      const open = this.#open.get(entry.stream) ?? { time: entry.time, parts: [], length: 0 };
      open.parts.push(entry.bytes.subarray(start, end));
      open.length += end - start;
      this.#open.set(entry.stream, open);
      if (newline >= 0 || open.length >= maximumLineBytes) lines.push(...this.#take(entry.stream));
      start = end;
    }
    return lines;
  }

  /** Lines whose break never came. */
  end(): LogLine[] {
    return [...this.#open.keys()].flatMap((stream) => this.#take(stream));
  }

  #take(stream: LogEntry["stream"]): LogLine[] {
    const open = this.#open.get(stream);
    this.#open.delete(stream);
    return open === undefined
      ? []
      : [{ stream, time: open.time, bytes: Buffer.concat(open.parts, open.length) }];
  }
}

const maximumLineBytes = 1024 * 1024;
