// Marks a promise that is awaited later.

/** Returns the promise, whose rejection no longer counts as unhandled; an `await` still throws it. */
export function ignoreRejection<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
