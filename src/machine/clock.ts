/** Time, so that tests can turn it by hand. */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  now(): number;
  /** Calls back once after this long, unless the returned function is called first. */
  timer(ms: number, callback: () => void): () => void;
}

/** The host's time. */
export const hostClock: Clock = {
  now: () => performance.now(),
  timer: (ms, callback) => {
    const timer = setTimeout(callback, Math.min(Math.max(0, ms), longestTimerMs));
    return () => clearTimeout(timer);
  },
};

/** What a timer of the platform can hold, about 24.8 days; a longer one would fire at once. */
export const longestTimerMs: number = 2 ** 31 - 1;
