// Seals the flat image: virt-sysprep on the run's own file, never on the guest's disk.
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { withReserveWatch } from '../capture/reserve-watch.ts';
import { runStep } from '../events.ts';
import { requireSysprep, sysprep } from '../flatten/virt-sysprep.ts';
import type { SnapshotSettings } from './settings.ts';

/** Before anything is touched. @throws PublishError SYSPREP, USAGE */
export async function requireSealing(settings: SnapshotSettings): Promise<void> {
  const { sysprep: operations, config, signal } = settings;
  if (operations === null) return;
  await requireSysprep({ operations, timeoutMs: config.timeouts.requestMs, signal });
}

/**
 * Changes the image file in place; nothing where no sealing was asked for.
 *
 * NOTE: the journal does not name the image as one that can be resumed before this has ended, so a
 * run that is killed in the middle publishes nothing that is half sealed.
 * @returns whether the image was changed.
 * @throws PublishError SYSPREP, NO_SPACE; the signal's reason.
 */
export async function sealImage(settings: SnapshotSettings, path: string): Promise<boolean> {
  const { sysprep: operations, format, config, onEvent, signal } = settings;
  if (operations === null) return false;
  const { reserve, timeouts } = config;
  const tempDir = dirname(path);
  await withReserveWatch({ directories: [tempDir], reserve, signal }, async (watch) => {
    await watch.check();
    const limits = { operations, tempDir, timeoutMs: timeouts.sysprepMs, signal: watch.signal };
    await runStep(
      onEvent,
      'sysprep',
      () => sysprep({ path, format }, limits),
      () => operations,
    );
  });
  await sync(path);
  return true;
}

/** The image outlives a power cut from here on, as one that qemu-img has written. */
async function sync(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
