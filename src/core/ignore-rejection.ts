// A promise that nobody waits for yet.

/** Its failure is raised where it is awaited; until then it must not count as unhandled. */
export function ignoreRejection<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
