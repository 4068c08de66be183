// Asserts that no guest uses the objects which are about to be removed.
import { PublishError } from '../../core/errors.ts';
import type { CallOptions } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { imageFolder, recordFolder } from '../record/image-records.ts';

/**
 * NOTE: a guest may have an image of a directory registry as its disk, or below it. It keeps
 * running when the file is removed, but cannot start again.
 * @throws PublishError IMAGE_STATUS that names the process.
 */
export async function assertUnused(
  store: Pick<ObjectStore, 'findGuests'>,
  keys: readonly string[],
  options: CallOptions,
): Promise<void> {
  const [guest] = (await store.findGuests?.(keys, options)) ?? [];
  if (guest === undefined) return;
  throw new PublishError('IMAGE_STATUS', `${keys[0]} is used by ${guest}`, {
    step: 'registry',
    hint: 'shut that guest down, and give it another disk, before its image is removed',
  });
}

/** Asserts it for all objects of an image except its records. @throws what {@link assertUnused} throws */
export async function assertImageUnused(
  store: ObjectStore,
  id: string,
  options: CallOptions,
): Promise<void> {
  if (store.findGuests === undefined) return;
  const keys: string[] = [];
  for await (const { key } of store.list(imageFolder(id), options))
    if (!key.startsWith(recordFolder(id))) keys.push(key);
  await assertUnused(store, keys, options);
}
