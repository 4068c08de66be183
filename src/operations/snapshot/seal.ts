// Seals the flat images: virt-sysprep on the run's own files, never on the guest's disks.
import { open } from 'node:fs/promises';
import { withReserveWatch } from '../../capture/reserve-watch.ts';
import { runStep } from '../../core/events.ts';
import { requireSysprep, sysprep } from '../../qemu/virt-sysprep.ts';
import type { SnapshotSettings } from './settings.ts';

/** Checks that virt-sysprep can do it, before anything is touched. @throws PublishError SYSPREP, USAGE */
export async function requireSealing(settings: SnapshotSettings): Promise<void> {
  const { sysprep: operations, config, signal } = settings;
  if (operations === null) return;
  await requireSysprep({ operations, timeoutMs: config.timeouts.requestMs, signal });
}

/**
 * Changes the image files of one guest in place; nothing if no sealing was asked for.
 *
 * NOTE: the journal names the image as resumable only after this has ended. So a run that is killed
 * in the middle publishes no image that is incompletely sealed.
 * @returns whether they were changed.
 * @throws PublishError SYSPREP, NO_SPACE; the signal's reason.
 */
export async function sealImages(
  settings: SnapshotSettings,
  { paths, tempDir }: { paths: readonly string[]; tempDir: string },
): Promise<boolean> {
  const { sysprep: operations, format, config, onEvent, signal } = settings;
  if (operations === null) return false;
  const { reserve, timeouts } = config;
  await withReserveWatch({ directories: [tempDir], reserve, signal }, async (watch) => {
    await watch.check();
    const limits = { operations, tempDir, timeoutMs: timeouts.sysprepMs, signal: watch.signal };
    const images = paths.map((path) => ({ path, format }));
    await runStep(
      onEvent,
      'sysprep',
      () => sysprep(images, limits),
      () => operations,
    );
  });
  for (const path of paths) await sync(path);
  return true;
}

/** Makes the image survive a power cut, as qemu-img does. */
async function sync(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
