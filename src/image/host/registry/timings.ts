/** How long the registry client waits, and how often it tries. Tests use shorter ones. */
export interface Timings {
  /** To open a connection, milliseconds. */
  readonly connectMs: number;
  /** To the first byte of an answer. */
  readonly headersMs: number;
  /** Between two pieces of a body. */
  readonly stallMs: number;
  /** For a whole manifest or token, which are small. */
  readonly documentMs: number;
  /** Tries of one request; for blobs, tries in a row that bring no byte. */
  readonly attempts: number;
  /** Pause before the second try; doubles with each. */
  readonly backoffMs: number;
  /** The longest pause, also when a server asks for a longer one: then the request fails. */
  readonly maximumPauseMs: number;
}

export const defaultTimings: Timings = {
  connectMs: 15_000,
  headersMs: 30_000,
  stallMs: 30_000,
  documentMs: 60_000,
  attempts: 6,
  backoffMs: 500,
  maximumPauseMs: 60_000,
};
