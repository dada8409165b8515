/** What this thread has acquired through the door and not yet released. */
export interface OpenResources {
  readonly fd: number;
  readonly mapping: number;
}

const open = { fd: 0, mapping: 0 };

/**
 * Counts of what is open now, so that a test can assert that nothing leaked. Each thread counts its own.
 *
 * @example
 * ```ts
 * const before = openResources();
 * open("/dev/null", O_RDONLY)[Symbol.dispose]();
 * assert.deepEqual(openResources(), before);
 * ```
 */
export function openResources(): OpenResources {
  return { ...open };
}

export function countOpened(kind: keyof OpenResources): void {
  open[kind] += 1;
}

export function countClosed(kind: keyof OpenResources): void {
  open[kind] -= 1;
}
