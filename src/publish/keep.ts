// Deletes older images after a new one was published, if `--keep` asks for it.
import { messageOf } from '../core/errors.ts';
import type { OnEvent } from '../core/events.ts';
import type { ImageRecord } from '../registry/record/image.ts';
import type { Registry } from '../registry/registry.ts';

/** Deletes all but the newest `keep` images of this one's disk and name. A failure is only a warning. */
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
      `older images were not deleted (${messageOf(error)}); delete them with virt-publish prune`,
    );
  }
}
