// An image's record around the work that makes its data: queued before, killed with the reason if it fails.
import { messageOf, publicReason } from '../core/errors.ts';
import { type OnEvent, runStep } from '../core/events.ts';
import type { Digests } from '../transfer/digests/digests.ts';
import type { Registry } from './registry.ts';
import type { NewImage } from './registry-types.ts';

const GIB = 1024 ** 3;

/**
 * Queues the record, then runs `work`. If `work` fails, the record gets status `killed` and a reason,
 * and the image's data is removed, also after the run's signal has fired.
 */
export async function withQueuedImage<T>(
  registry: Registry,
  fields: NewImage & { id: string },
  onEvent: OnEvent,
  work: () => Promise<T>,
): Promise<T> {
  await runStep(onEvent, 'queue', () => registry.queueImage(fields));
  try {
    return await work();
  } catch (error) {
    await discard(registry, { id: fields.id, reason: publicReason(error) }, onEvent);
    throw error;
  }
}

async function discard(
  registry: Registry,
  { id, reason }: { id: string; reason: string },
  onEvent: OnEvent,
): Promise<void> {
  const warn = (message: string) =>
    onEvent({ type: 'note', level: 'warning', step: 'rollback', message });
  try {
    const record = await runStep(onEvent, 'rollback', () => registry.discardImage(id, reason));
    if (record?.status === 'active') warn(`image ${id} is active already and is kept`);
  } catch (failure) {
    warn(
      `the objects of image ${id} could not be removed (${messageOf(failure)}); it was never active; remove them with: virt-publish gc --delete`,
    );
  }
}

/** Returns Glance's fields: md5 as `checksum`, and the strongest digest that was requested. */
export function hashFields({ md5, sha512, sha256 }: Digests) {
  return {
    checksum: md5 ?? null,
    os_hash_algo: sha512 === undefined ? 'sha256' : 'sha512',
    os_hash_value: sha512 ?? sha256,
  };
}

/** GiB, rounded up: the least disk that a guest of this image can have. */
export function minDiskGib(virtualSize: number): number {
  return Math.ceil(virtualSize / GIB);
}
