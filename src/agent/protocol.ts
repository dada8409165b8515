/**
 * The agent protocol's constants. docs/agent-protocol.md is the specification; guest/agent/protocol.h has the same
 * numbers for the other side.
 */

/** Raised whenever a frame, a request or a result changes shape. Both sides must have the same. */
export const PROTOCOL_VERSION = 4;

/** "SMAGENT" and a byte that no text has: the start of a preamble. */
export const PREAMBLE_MAGIC: Uint8Array = Uint8Array.of(0x53, 0x4d, 0x41, 0x47, 0x45, 0x4e, 0x54, 0xf7);
/** Magic 8, version 4, zero 4, nonce 16. */
export const PREAMBLE_BYTES = 32;
/** What a previous host's connection may have left in the pipe before our answer; more is a broken agent. */
export const MAX_STALE_BYTES: number = 1 << 20;

/** Payload length 4, stream 4, type 1, channel 1, zero 2. */
export const HEADER_BYTES = 12;
export const MAX_PAYLOAD_BYTES = 65_536;
/** One request, all its frames together: 2 MiB of arguments and environment (Linux's own limit) with room to spare. */
export const MAX_REQUEST_BYTES: number = 4 << 20;
/** What may be sent on each data channel of a stream before the other side grants more. */
export const INITIAL_CREDIT_BYTES = 524_288;
/** Streams that may be open at once on one connection. */
export const MAX_STREAMS = 1024;

export const FrameType = {
  REQUEST: 1,
  DATA: 2,
  EOF: 3,
  CREDIT: 4,
  SIGNAL: 5,
  RESIZE: 6,
  CANCEL: 7,
  STARTED: 16,
  DONE: 17,
  INPUT_CLOSED: 18,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

/** Which way a frame travels; each side accepts only the other's frames. */
export type FrameSender = "host" | "guest";

export const Channel = { INPUT: 0, OUTPUT: 1, ERROR: 2 } as const;
/** The channel byte of a REQUEST frame. */
export const RequestPart = { MORE: 0, LAST: 1 } as const;

export const Operation = {
  SETUP: 1,
  EXEC: 2,
  READ_FILE: 3,
  WRITE_FILE: 4,
  STAT: 5,
  LIST: 6,
  MKDIR: 7,
  REMOVE: 8,
  RENAME: 9,
  CHMOD: 10,
  CHOWN: 11,
  SYMLINK: 12,
  READ_TAR: 13,
  WRITE_TAR: 14,
  CONNECT: 15,
  SHUTDOWN: 16,
  FREEZE: 17,
  RENEW: 18,
  THAW: 19,
  ADOPT: 20,
  RECLAIM: 21,
} as const;
export type Operation = (typeof Operation)[keyof typeof Operation];

/** First byte of a DONE payload. */
export const Outcome = { OK: 0, FAILED: 1 } as const;

/** Why an operation failed: decides the error code the host throws. */
export const Failure = {
  SYSTEM: 1,
  COMMAND_NOT_FOUND: 2,
  COMMAND_NOT_EXECUTABLE: 3,
  USER_NOT_FOUND: 4,
  WORKING_DIRECTORY: 5,
  ARCHIVE: 6,
  SETUP: 7,
  REFUSED: 8,
  CANCELLED: 9,
} as const;
