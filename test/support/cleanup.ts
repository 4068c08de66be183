// Removes at the end of a test file what its tests made, also after a failed test.
import { afterAll } from 'vitest';

const undos = new Map<object, () => Promise<void>>();

/** Registers `undo` for the end of the test file, unless {@link cleanUp} is called for `owner` before. */
export function cleanUpLater(owner: object, undo: () => Promise<void>): void {
  undos.set(owner, undo);
}

/** Runs what was registered for `owner`, once. */
export async function cleanUp(owner: object): Promise<void> {
  const undo = undos.get(owner);
  undos.delete(owner);
  await undo?.();
}

afterAll(async () => {
  const failures: unknown[] = [];
  for (const owner of [...undos.keys()].reverse()) {
    await cleanUp(owner).catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) {
    throw new AggregateError(failures, `clean-up failed: ${failures.map(String).join('; ')}`);
  }
});
