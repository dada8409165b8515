// The framing that client.mjs and server.mjs share.

export function frame(kind, payload) {
  const header = Buffer.alloc(5);
  header.writeUInt8(kind, 0);
  header.writeUInt32BE(payload.length, 1);
  return Buffer.concat([header, payload]);
}

/** Calls `onFrame(kind, payload)` for each whole frame that arrives on the socket. */
export function readFrames(socket, onFrame, pending = Buffer.alloc(0)) {
  const take = (chunk) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    while (pending.length >= 5) {
      const length = pending.readUInt32BE(1);
      if (pending.length < 5 + length) return;
      const payload = pending.subarray(5, 5 + length);
      const kind = pending[0];
      pending = pending.subarray(5 + length);
      onFrame(kind, payload);
    }
  };
  take(Buffer.alloc(0));
  socket.on("data", take);
}
