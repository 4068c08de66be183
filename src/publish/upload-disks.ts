// Uploads a run's disks one after the other, and makes the fields of the record from them.
import { runStep } from '../core/events.ts';
import { ignoreRejection } from '../core/ignore-rejection.ts';
import { removeScratch } from '../host/files/scratch-file.ts';
import { plannedSource } from '../image/plan/planned-source.ts';
import { reopenImage } from '../image/plan/reopen-image.ts';
import { hashFields } from '../registry/queued-image.ts';
import type { ActiveFields, Registry } from '../registry/registry.ts';
import type {
  DiskToPublish,
  FinishOptions,
  ImageToPublish,
  UploadedDisk,
} from './image-to-publish.ts';

/** The point of the journal after each uploaded disk. */
export const UPLOADED_POINT = 'uploaded';

/**
 * Uploads the disks that are not uploaded yet. The file of each is removed after the journal has its
 * upload; `removed` resolves when all are removed, and never rejects.
 * @throws PublishError UPLOAD, INTEGRITY, REGISTRY; the signal's reason.
 */
export async function uploadDisks(
  registry: Registry,
  image: ImageToPublish,
  options: FinishOptions,
): Promise<{ uploaded: [UploadedDisk, ...UploadedDisk[]]; removed: Promise<void> }> {
  const { uploaded: before = [], checkpoint } = options;
  if (before.length === 0) await registry.markSaving(image.id);
  const all: UploadedDisk[] = [];
  const removals: Promise<void>[] = [];
  for (const disk of image.disks) {
    const earlier = before.find(({ name }) => name === disk.name);
    const uploaded = earlier ?? (await uploadDisk(registry, image, disk, options));
    if (!earlier) await checkpoint(UPLOADED_POINT, uploaded);
    if (disk.isScratch)
      removals.push(ignoreRejection(removeScratch({ path: disk.path, isScratch: true })));
    all.push(uploaded);
  }
  // NOTE: a file system that discards freed blocks takes some 0.2 s a GiB, for which the image need not
  // wait. A file that is not removed here is removed, or reported, with the run's folder.
  const removed = Promise.allSettled(removals).then(() => undefined);
  return { uploaded: all as [UploadedDisk, ...UploadedDisk[]], removed };
}

async function uploadDisk(
  registry: Registry,
  { id, disks, hash }: ImageToPublish,
  disk: DiskToPublish,
  { onEvent, signal, resume, written, timeouts }: FinishOptions,
): Promise<UploadedDisk> {
  const { path, isScratch, name, layers } = disk;
  const { streamed, ...known } = written?.get(name) ?? {};
  const source = streamed
    ? plannedSource(streamed, { timeoutMs: timeouts.requestMs, signal })
    : await reopenImage(disk, timeouts, signal);
  const onProgress = (bytes: number) =>
    onEvent({ type: 'progress', step: 'upload', bytes, total: source.size });
  const isRoot = disk === disks[0];
  const { size, digests } = await runStep(
    onEvent,
    'upload',
    () =>
      registry.uploadData(id, name, source, {
        ...{ hash: isRoot ? hash : [], signal, resume, onProgress, ...known },
        ...(isScratch && !layers ? { moveFrom: path } : {}),
      }),
    () => (disks.length > 1 ? name : undefined),
  );
  return { name, size, digests };
}

/** Returns the fields of the record: Glance's own, and the list of the disks if there are several. */
export function activeFields(
  { disks, disk_format, min_ram, properties }: ImageToPublish,
  uploaded: readonly [UploadedDisk, ...UploadedDisk[]],
): Omit<ActiveFields, 'artefacts'> {
  const [{ name, size, digests }] = uploaded;
  const data = { name, size, sha256: digests.sha256 };
  const fields = { data, ...hashFields(digests), min_ram, properties };
  if (disks.length === 1) return fields;
  const listed = uploaded.map((each, index) => {
    const {
      path: _,
      isScratch: __,
      direct: ___,
      layers: ____,
      ...disk
    } = disks[index] as DiskToPublish;
    return { ...disk, size: each.size, sha256: each.digests.sha256, disk_format };
  });
  return { ...fields, disks: listed };
}
