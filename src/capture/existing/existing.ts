// The existing mode: reads the disks of a snapshot in place, and checks afterwards that they are unchanged.
import { stat } from 'node:fs/promises';
import { PublishError } from '../../core/errors.ts';
import type { InspectedDisk } from '../../domain/inspect.ts';
import { parseSnapshotXml } from '../../libvirt/xml/snapshot-xml.ts';
import { info } from '../../qemu/qemu-img.ts';
import type { CaptureRun, UseStillDisks } from '../capture-run.ts';

/**
 * Reads the disks of an existing snapshot, without an act on the domain, and checks afterwards that the
 * snapshot is unchanged.
 * @throws PublishError INTEGRITY if the snapshot was deleted, or its files changed
 */
export async function captureExisting<T>(run: CaptureRun, use: UseStillDisks<T>): Promise<T> {
  const { inspection } = run;
  const before = await stateOf(run);
  const disks = inspection.disks.map((each) => {
    return { ...each, path: each.disk.source, format: each.disk.format, isScratch: false as const };
  });
  const consistency = inspection.existing?.consistency ?? 'crash';
  const result = await use({ disks, consistency, freezeMs: null, pauseMs: null });
  if ((await stateOf(run)) === before) return result;
  throw new PublishError(
    'INTEGRITY',
    `snapshot ${inspection.existing?.name} of domain ${inspection.name} was changed or deleted while it was read, so nothing is published`,
    { step: 'convert', hint: 'run it again when no other client works on the snapshot' },
  );
}

async function stateOf({ domain, inspection, signal }: CaptureRun): Promise<string> {
  const listed = await domain.listSnapshots();
  const xml = listed.find(({ name }) => name === inspection.existing?.name)?.xml;
  // A snapshot that was deleted and made again with the same name has another time.
  const createdAt = xml === undefined ? undefined : parseSnapshotXml(xml).createdAt;
  const files = await Promise.all(inspection.disks.map((disk) => stateOfDisk(disk, signal)));
  return JSON.stringify([createdAt, files]);
}

/** The guest writes to the file that contains an internal snapshot, but not to the layers below it. */
async function stateOfDisk(
  { disk, facts, snapshot }: InspectedDisk,
  signal: AbortSignal,
): Promise<unknown> {
  const own = [...(snapshot ? [] : [disk.source]), ...facts.backingChain.map(({ path }) => path)];
  const files = await Promise.all(own.map(fileState));
  if (!snapshot) return files;
  const { snapshots } = await info({
    ...{ path: disk.source, format: disk.format, shared: true, signal },
  });
  return [files, snapshots.find(({ id, name }) => id === snapshot.id && name === snapshot.name)];
}

async function fileState(path: string): Promise<unknown> {
  const facts = await stat(path).catch(() => undefined);
  if (facts === undefined) return 'missing';
  const { dev, ino, size, mtimeMs } = facts;
  return { dev, ino, size, mtimeMs };
}
