// Counts the guests that this process has changed and not restored yet.

let held = 0;
const waiting: (() => void)[] = [];

/** Counts a guest as held until `work` settles. */
export async function whileGuestIsHeld<T>(work: () => Promise<T>): Promise<T> {
  held += 1;
  try {
    return await work();
  } finally {
    held -= 1;
    if (held === 0) {
      for (const resolve of waiting.splice(0)) resolve();
    }
  }
}

export function isGuestHeld(): boolean {
  return held > 0;
}

/** Resolves when no guest is held, at once if none is. */
export function whenNoGuestIsHeld(): Promise<void> {
  if (held === 0) return Promise.resolve();
  return new Promise((resolve) => waiting.push(resolve));
}
