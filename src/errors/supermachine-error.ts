import { type ErrorCode, errorCodes } from "./codes.ts";

const brand: unique symbol = Symbol.for("supermachine.error");

/** What an error carries besides its code and message. */
export interface ErrorDetails {
  /** What the user can do about it: one sentence, no final period. */
  hint?: string | undefined;
  /** The failure underneath; its text is not repeated in the message. */
  cause?: unknown;
  /** Fields that a caller may act on (exit code, errno, entry name, console lines ...): plain data only. */
  data?: Readonly<Record<string, unknown>> | undefined;
}

/** An error as plain data, for crossing threads, sockets and `--json`. */
export interface WireError {
  code: ErrorCode;
  message: string;
  hint?: string;
  data?: Readonly<Record<string, unknown>>;
  cause?: WireError | { message: string };
}

/**
 * The one error class of the public API: look at `code`, never at the text.
 *
 * @example
 * ```ts
 * import { SupermachineError } from "supermachine";
 *
 * const error = new SupermachineError("IMAGE_NOT_FOUND", "No image 'nope' in the store", { hint: "Pull it first" });
 * console.log(error.code, error.hint); // IMAGE_NOT_FOUND Pull it first
 * ```
 */
export class SupermachineError extends Error {
  /** What happened; stable from version to version. */
  readonly code: ErrorCode;
  /** What the user can do about it. */
  readonly hint: string | undefined;
  /** Fields to act on: `errno`, `entry`, `console`, `exitCode` ... */
  readonly data: Readonly<Record<string, unknown>>;

  /** `message`: what was attempted, on what. */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "SupermachineError";
    this.code = code;
    this.hint = details.hint;
    this.data = details.data ?? {};
    Object.defineProperty(this, brand, { value: true });
  }

  /** True for errors of any copy of this package, so that `instanceof` survives duplicated installs. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === "object" && value !== null && brand in value;
  }

  /**
   * The error as plain data, causes included; what `JSON.stringify` uses.
   *
   * @example
   * ```ts
   * const error = new SupermachineError("NO_SPACE", "Writing '/x' failed");
   * console.log(JSON.stringify(error)); // {"code":"NO_SPACE","message":"Writing '/x' failed"}
   * ```
   */
  toJSON(): WireError {
    const wire: WireError = { code: this.code, message: this.message };
    if (this.hint !== undefined) wire.hint = this.hint;
    if (Object.keys(this.data).length > 0) wire.data = this.data;
    const cause = causeToWire(this.cause);
    if (cause !== undefined) wire.cause = cause;
    return wire;
  }

  /**
   * Rebuilds an error from its wire form. Anything malformed becomes `INTERNAL` rather than a second failure.
   *
   * @example
   * ```ts
   * const error = SupermachineError.fromJSON(JSON.parse('{"code":"NO_SPACE","message":"Writing failed"}'));
   * console.log(error.code); // NO_SPACE
   * ```
   */
  static fromJSON(value: unknown): SupermachineError {
    if (typeof value !== "object" || value === null) return new SupermachineError("INTERNAL", String(value));
    const { code, message, hint, data, cause } = value as Partial<WireError>;
    const known = typeof code === "string" && Object.hasOwn(errorCodes, code) ? code : "INTERNAL";
    return new SupermachineError(known, typeof message === "string" ? message : "Unknown error", {
      hint: typeof hint === "string" ? hint : undefined,
      data: typeof data === "object" && data !== null ? data : undefined,
      cause: cause === undefined ? undefined : causeFromWire(cause),
    });
  }
}

function causeToWire(cause: unknown): WireError["cause"] {
  if (cause === undefined) return undefined;
  if (cause instanceof SupermachineError) return cause.toJSON();
  return { message: cause instanceof Error ? cause.message : String(cause) };
}

function causeFromWire(cause: unknown): Error {
  if (typeof cause === "object" && cause !== null && "code" in cause)
    return SupermachineError.fromJSON(cause);
  const message = typeof cause === "object" && cause !== null && "message" in cause ? cause.message : cause;
  return new Error(String(message));
}
