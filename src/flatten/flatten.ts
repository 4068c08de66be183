// A still chain becomes one flat image file, checked before anybody relies on it.
import type { Config } from '../config.ts';
import { PublishError } from '../errors.ts';
import { type OnEvent, runStep } from '../events.ts';
import type { Compression, DiskFormat } from '../snapshot-types.ts';
import { type Converted, check, convert, type SourceImage } from './qemu-img.ts';

export interface FlattenRequest {
  source: SourceImage;
  virtualSize: number;
  target: { path: string; format: DiskFormat };
  compress: Compression;
  priority: Config['convert'];
  timeouts: { convertMs: number; checkMs: number };
  onEvent: OnEvent;
  signal: AbortSignal;
}

/**
 * Converts. The partial file after a failure is the caller's to remove.
 * @throws PublishError QEMU_IMG, NO_SPACE; the signal's reason.
 */
export async function flatten(request: FlattenRequest): Promise<Converted> {
  const { source, target, compress, virtualSize, priority, timeouts, onEvent, signal } = request;
  return runStep(onEvent, 'convert', () =>
    convert({
      source,
      target,
      compress,
      virtualSize,
      priority,
      onProgress: (bytes, total) => onEvent({ type: 'progress', step: 'convert', bytes, total }),
      signal,
      timeoutMs: timeouts.convertMs,
    }),
  );
}

/** @throws PublishError INTEGRITY where the image's own tables are not whole; QEMU_IMG. */
export async function checkImage({
  target,
  timeouts,
  onEvent,
  signal,
}: Pick<FlattenRequest, 'target' | 'timeouts' | 'onEvent' | 'signal'>): Promise<void> {
  await runStep(
    onEvent,
    'check',
    async () => {
      const result = await check({ ...target, signal, timeoutMs: timeouts.checkMs });
      if (result.state !== 'corrupt' && result.state !== 'leaks') return result;
      throw new PublishError(
        'INTEGRITY',
        `qemu-img check found the new image damaged (${result.corruptions} corruptions, ${result.leaks} leaks); nothing was published. Run it again, and check the work directory's disk`,
        { step: 'check' },
      );
    },
    ({ state }) => state,
  );
}
