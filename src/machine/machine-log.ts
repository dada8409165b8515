import { type FSWatcher, watch } from "node:fs";
import { type FileHandle, open, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { SupermachineError } from "../errors/supermachine-error.ts";
import type { LogEntry, LogOptions } from "./types.ts";

/** Two files of this size at most: a machine that prints for years does not fill the disk. */
const fileBytes = 16 * 1024 * 1024;
/** Longer lines than this are no entry of ours. */
const longestLine = 1024 * 1024;
/** In case the system's notice of a change is lost. */
const pollMs = 500;

const current = (folder: string): string => join(folder, "log.jsonl");
const previous = (folder: string): string => join(folder, "log.1.jsonl");

/** Writes a main command's output: one JSON object per line, with stream and time. */
export class MachineLog implements AsyncDisposable {
  readonly #folder: string;
  #file: FileHandle | undefined;
  #length = 0;
  #queue: Promise<void> = Promise.resolve();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Resolves when the entry is in the file, which is what slows a command down that prints faster than the disk writes. */
  append(entry: LogEntry): Promise<void> {
    this.#queue = this.#queue.then(() => this.#write(entry));
    return this.#queue;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#queue;
    await this.#file?.close();
    this.#file = undefined;
  }

  async #write(entry: LogEntry): Promise<void> {
    try {
      if (this.#length > fileBytes) await this.#rotate();
      this.#file ??= await open(current(this.#folder), "a", 0o600);
      const line = encodeEntry(entry);
      await this.#file.writeFile(line);
      this.#length += line.length;
    } catch {
      // A full disk costs log entries, never the machine.
    }
  }

  async #rotate(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
    await rename(current(this.#folder), previous(this.#folder));
    this.#length = 0;
  }
}

/** Reads a machine's log, oldest entry first; with `follow` until `ended` has resolved and everything is read. */
export async function* readLog(
  folder: string,
  ended: Promise<unknown>,
  options: LogOptions,
): AsyncGenerator<LogEntry> {
  const { follow = false, signal } = options;
  throwIfAborted(signal);
  using change = new Change(folder, follow);
  ended.then(
    () => change.end(),
    () => change.end(),
  );
  const abort = () => change.end();
  signal?.addEventListener("abort", abort, { once: true });
  try {
    yield* readEntries(previous(folder), undefined);
    for (;;) {
      const inode = yield* readEntries(current(folder), follow ? change : undefined);
      throwIfAborted(signal);
      // Another file now: the log was rotated, or has just begun.
      const now = await inodeOf(current(folder));
      if (now === undefined || now === inode) return;
    }
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true)
    throw new SupermachineError("ABORTED", "Reading the log was aborted", { cause: signal.reason });
}

/** Yields a file's entries, with `change` until another file has its name or everything has ended; returns its inode. */
async function* readEntries(
  path: string,
  change: Change | undefined,
): AsyncGenerator<LogEntry, number | undefined> {
  let file = await openIfThere(path);
  while (file === undefined && change !== undefined && !change.ended) {
    await change.wait();
    file = await openIfThere(path);
  }
  if (file === undefined) return undefined;
  try {
    const { ino } = await file.stat();
    const buffer = Buffer.alloc(64 * 1024);
    let rest = Buffer.alloc(0);
    for (let position = 0; ; ) {
      // Looked at before the read: what was written before the end is then read for certain.
      const last = change === undefined || change.ended || (await inodeOf(path)) !== ino;
      const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
      position += bytesRead;
      rest = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
      for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
        const entry = decodeEntry(rest.toString("utf8", 0, end));
        rest = rest.subarray(end + 1);
        if (entry !== undefined) yield entry;
      }
      if (rest.length > longestLine) rest = Buffer.alloc(0);
      if (bytesRead > 0) continue;
      if (last) return ino;
      await change.wait();
    }
  } finally {
    await file.close();
  }
}

/** Waits for anything to happen in a folder. */
class Change implements Disposable {
  ended = false;
  #happened = false;
  #wake: (() => void) | undefined;
  readonly #watcher: FSWatcher | undefined;

  constructor(folder: string, active: boolean) {
    if (!active) return;
    try {
      this.#watcher = watch(folder, () => this.#notify());
      this.#watcher.on("error", () => {});
    } catch {
      // Removed already, or no more watches to be had: polling does.
    }
  }

  end(): void {
    this.ended = true;
    this.#notify();
  }

  async wait(): Promise<void> {
    if (!this.#happened && !this.ended)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, pollMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    this.#happened = false;
    this.#wake = undefined;
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
  }

  #notify(): void {
    this.#happened = true;
    this.#wake?.();
  }
}

function encodeEntry({ stream, time, bytes }: LogEntry): Buffer {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  const isText = Buffer.from(text).equals(bytes);
  const content = isText ? { text } : { base64: Buffer.from(bytes).toString("base64") };
  return Buffer.from(`${JSON.stringify({ time, stream, ...content })}\n`);
}

function decodeEntry(line: string): LogEntry | undefined {
  try {
    const { time, stream, text, base64 } = JSON.parse(line) as Record<string, unknown>;
    if (typeof time !== "number" || (stream !== "stdout" && stream !== "stderr")) return undefined;
    if (typeof text === "string") return { stream, time, bytes: Buffer.from(text) };
    return typeof base64 === "string" ? { stream, time, bytes: Buffer.from(base64, "base64") } : undefined;
  } catch {
    return undefined;
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  return open(path, "r").catch(() => undefined);
}

async function inodeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ ino }) => ino,
    () => undefined,
  );
}
