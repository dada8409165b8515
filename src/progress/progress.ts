/** One step of long work, reported as often as it changes. Sizes are bytes where a total is given. */
export interface ProgressEvent {
  /** What kind of work this is; the order below is the order in which a first run meets them. */
  phase: "resolve" | "download" | "unpack" | "convert" | "kernel" | "agent" | "boot" | "warm-up";
  /** Tells concurrent pieces apart (a short layer digest, a file name); "" when there is only one. */
  id: string;
  state: "active" | "done" | "cached";
  done?: number;
  total?: number;
}

/** Receives progress; must not throw and must return quickly. */
export type ProgressListener = (event: ProgressEvent) => void;
