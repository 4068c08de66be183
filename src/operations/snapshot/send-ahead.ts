// Beside the convert: what has settled of the image goes to the registry already.
import type { StillDisk } from '../../capture/capture-run.ts';
import type { EarlyParts } from '../../transfer/upload/early-upload.ts';
import type { Decision } from './decide.ts';
import type { SnapshotSession } from './settings.ts';
import { expectedImageBytes } from './space-needs.ts';

/** Each takes its memory; and the processors, which a convert waits for that compresses, are busy. */
const PARTS_WHILE_COMPRESSING = 2;

/** The file at `path`, which a disk's image is written to; `name` is its object's. */
interface FileToSend {
  id: string;
  name: string;
  path: string;
  still: StillDisk;
  guestWaits: boolean;
}

/**
 * Runs `work`, which writes the image file at `path`, and sends ahead what can be. Where `work`
 * fails nothing is sent any more; what is there goes with the image.
 */
export async function sendingAhead<T>(
  { settings }: SnapshotSession,
  decision: Decision,
  { id, name, path, still, guestWaits }: FileToSend,
  work: () => Promise<T>,
): Promise<{ result: T; early: EarlyParts | undefined }> {
  // A guest that sleeps waits for the convert, and is not to wait for the network too. The other
  // formats have their full length, or their tables, from the begin: nothing tells what has settled.
  // What virt-sysprep is to change has not settled either.
  if (guestWaits || settings.format !== 'qcow2' || settings.sysprep !== null)
    return { result: await work(), early: undefined };
  const stop = new AbortController();
  const signal = AbortSignal.any([settings.signal, stop.signal]);
  // As its writer does, where it is not left to qemu-img.
  const direct = settings.compress === 'none' || (settings.compress === 'zstd' && still.isScratch);
  const partsAtOnce = settings.compress === 'none' ? undefined : PARTS_WHILE_COMPRESSING;
  const expectedBytes = expectedImageBytes(decision, still);
  const { registry } = decision;
  const isFirst = still.disk === decision.inspection.disks[0].disk;
  const starting = (async () => {
    if (isFirst) await registry.markSaving(id, { signal });
    const file = { path, direct, expectedBytes, partsAtOnce, signal };
    return registry.startEarlyUpload(id, name, file);
  })();
  try {
    const early = await starting;
    const result = await work();
    return { result, early: await early?.finish() };
  } catch (error) {
    stop.abort(error);
    await starting.then((early) => early?.finish()).catch(() => undefined);
    throw error;
  }
}
