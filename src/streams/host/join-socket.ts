import type { Socket } from "node:net";

/** The other end of what a socket is joined to: a stream of bytes with back-pressure, each direction ending on its own. */
export interface JoinedStream {
  readonly incoming: AsyncIterable<Uint8Array>;
  /** Resolves when more may be written; rejects when nothing more is taken. */
  write(bytes: Uint8Array): Promise<void>;
  end(): Promise<void>;
  cancel(): void;
  /** Resolves when the stream is over in both directions, where it can tell. */
  readonly closed?: Promise<unknown>;
}

/**
 * Carries bytes both ways between a socket, which must have been made with `allowHalfOpen`, and a stream, each as fast as
 * the other takes them. The end of one direction ends that direction alone. Resolves when both are over; rejects when
 * the stream breaks. The socket is closed afterwards in any case; a socket that breaks cancels the stream.
 */
export async function joinSocket(socket: Socket, stream: JoinedStream): Promise<void> {
  // A socket that breaks ends this function through its iterator or its writes.
  socket.on("error", () => {});
  socket.once("close", () => stream.cancel());
  try {
    // Whoever takes nothing more may still have something to say.
    const sent = fromSocket(socket, stream).catch(() => {});
    await toSocket(stream, socket);
    await (stream.closed === undefined ? sent : Promise.race([sent, stream.closed]));
    socket.destroySoon();
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

async function fromSocket(socket: Socket, stream: JoinedStream): Promise<void> {
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) await stream.write(chunk);
  await stream.end();
}

async function toSocket(stream: JoinedStream, socket: Socket): Promise<void> {
  for await (const chunk of stream.incoming) if (!socket.write(chunk)) await drained(socket);
  socket.end();
}

async function drained(socket: Socket): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const settle = () => {
      socket.off("drain", settle).off("close", settle);
      if (socket.destroyed) reject(new Error("The socket has gone"));
      else resolve();
    };
    socket.on("drain", settle).on("close", settle);
    if (socket.destroyed) settle();
  });
}
