// Counts the guests that this process has changed and not restored yet.

let changed = 0;
const waiting: (() => void)[] = [];

/** Counts a guest as changed until `work` settles. */
export async function whileGuestIsChanged<T>(work: () => Promise<T>): Promise<T> {
  changed += 1;
  try {
    return await work();
  } finally {
    changed -= 1;
    if (changed === 0) {
      for (const resolve of waiting.splice(0)) resolve();
    }
  }
}

export function isGuestChanged(): boolean {
  return changed > 0;
}

/** Resolves when no guest is changed, at once if none is. */
export function whenNoGuestIsChanged(): Promise<void> {
  if (changed === 0) return Promise.resolve();
  return new Promise((resolve) => waiting.push(resolve));
}
