type StandardStream = NodeJS.WriteStream;

/**
 * This process's standard output and error, opened when they are first written to: that loads what Node has for
 * sockets and terminals, which a command that starts a machine need not wait for.
 */
export class ProcessStreams {
  readonly #onError: (error: NodeJS.ErrnoException) => void;
  readonly #opened = new Set<StandardStream>();

  constructor(onError: (error: NodeJS.ErrnoException) => void) {
    this.#onError = onError;
  }

  get stdout(): StandardStream {
    return this.#open(process.stdout);
  }

  get stderr(): StandardStream {
    return this.#open(process.stderr);
  }

  /** Resolves when all that was written has left the process, or never will. */
  async flush(): Promise<void> {
    await Promise.all([...this.#opened].map(flushed));
  }

  #open(stream: StandardStream): StandardStream {
    if (!this.#opened.has(stream)) stream.on("error", this.#onError);
    this.#opened.add(stream);
    return stream;
  }
}

function flushed(stream: StandardStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed || stream.writableLength === 0) resolve();
    else stream.write("", () => resolve());
  });
}
