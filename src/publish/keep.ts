// Old snapshots go when a new one is there, where that was asked for.
import { messageOf } from '../core/errors.ts';
import type { OnEvent } from '../core/events.ts';
import type { ImageRecord } from '../registry/record/image.ts';
import type { Registry } from '../registry/registry.ts';

/** Keeps the newest `keep` images in line with this one. The new image stands whatever comes of it. */
export async function keepLast(
  registry: Registry,
  image: ImageRecord,
  { keep, signal, onEvent }: { keep: number; signal: AbortSignal; onEvent: OnEvent },
): Promise<void> {
  const note = (level: 'info' | 'warning', message: string) =>
    onEvent({ type: 'note', level, step: 'registry', message });
  try {
    const pruned = await registry.keepLast(image, keep, { signal });
    for (const { image: old, kept, reasons, wrongDate } of pruned) {
      if (!kept) note('info', `deleted ${old.id} (${old.name}): the newest ${keep} are kept`);
      if (wrongDate)
        note('warning', `image ${old.id} (${old.name}) is kept: ${reasons.join(', ')}`);
    }
  } catch (error) {
    note(
      'warning',
      `older images could not be deleted (${messageOf(error)}); virt-publish prune does it`,
    );
  }
}
