/** A promise with its two ends (`Promise.withResolvers` is younger than the oldest supported Node). */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(reason: Error): void;
}

/** A rejection that nobody awaits is no crash: callers may look at any one of several promises, or at none. */
export function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => {};
  let reject: (reason: Error) => void = () => {};
  const promise = new Promise<T>((onValue, onReason) => {
    resolve = onValue;
    reject = onReason;
  });
  promise.catch(() => {});
  return { promise, resolve: (value) => resolve(value), reject: (reason) => reject(reason) };
}
