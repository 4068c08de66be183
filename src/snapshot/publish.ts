// From still disks to an active image in the registry, and back to nothing where that fails.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { PointInTime, StillDisk, StillDisks } from '../capture/capture-run.ts';
import { detailOf, type InspectedDisk } from '../capture/inspect.ts';
import { checkImage, type Flattened, type FlattenRequest, flatten } from '../flatten/flatten.ts';
import type { SourceImage } from '../flatten/qemu-img.ts';
import { scrubDomainXml } from '../libvirt/domain-xml.ts';
import { minDiskGib, withQueuedImage } from '../registry/queued-image.ts';
import type { Journal } from '../run/journal.ts';
import type { SnapshotResult } from '../snapshot-types.ts';
import { digestAlgorithms } from '../upload/digests.ts';
import type { EarlyParts } from '../upload/early-upload.ts';
import { fileSource } from '../upload/source.ts';
import { findBaseImage } from './base-image.ts';
import type { Decision } from './decide.ts';
import { finishImage, IMAGE_POINT, type ImageToPublish } from './finish.ts';
import { imageProperties } from './image-fields.ts';
import { sealImages } from './seal.ts';
import { sendingAhead } from './send-ahead.ts';
import type { Session } from './session.ts';

/** A disk that was read, and the flat image that it was written to. */
export type FlattenedDisk = InspectedDisk &
  Flattened & { path: string; early: EarlyParts | undefined };

/** All disks of an image, as they were at one point in time; the root disk first. */
export interface FlatDisks extends PointInTime {
  /** With the images. */
  folder: string;
  disks: readonly FlattenedDisk[];
}

/**
 * Queues the image's record for the time of `work`. Where `work` fails, the record says `killed`
 * and why, and nothing of the image's data is left.
 */
export async function withImageRecord<T>(
  { settings }: Session,
  { registry, imageName, inspection }: Decision,
  { id, journal }: { id: string; journal: Journal },
  work: () => Promise<T>,
): Promise<T> {
  const { onEvent, visibility, tags, properties } = settings;
  const { virtualSize } = inspection.disks[0].facts;
  const fields = {
    id,
    name: imageName,
    disk_format: settings.format,
    visibility,
    tags: [...tags],
    protected: settings.protected,
    virtual_size: virtualSize,
    min_disk: minDiskGib(virtualSize),
    properties: { ...properties },
  };
  return withQueuedImage(registry, fields, onEvent, async () => {
    await journal.reach('queued');
    return work();
  });
}

/** Converts the still disks, one after the other, into files in `folder`. */
export async function flattenDisks(
  session: Session,
  decision: Decision,
  { id, still, folder }: { id: string; still: StillDisks; folder: string },
): Promise<FlatDisks> {
  const { disks, ...moment } = still;
  const flat: FlattenedDisk[] = [];
  for (const disk of disks) {
    const path = join(folder, dataName(session, disk));
    flat.push(await flattenDisk(session, decision, { id, still: disk, path }));
  }
  return { ...moment, folder, disks: flat };
}

/** Converts the still disk into `path`; a delta or a clone becomes that file, or is removed as soon as it has been read. */
async function flattenDisk(
  session: Session,
  decision: Decision,
  { id, still, path }: { id: string; still: StillDisk; path: string },
): Promise<FlattenedDisk> {
  const { settings } = session;
  const { disk, facts } = still;
  const isRoot = disk === decision.inspection.disks[0].disk;
  const guestWaits = decision.capture.mode === 'cold' && !still.ours;
  const ahead = { id, name: dataName(session, still), path, still, guestWaits };
  const { result, early } = await sendingAhead(session, decision, ahead, (onSettled) =>
    flatten({
      ...flattenRequest(session, decision, { disk, path }),
      source: sourceOf(still),
      virtualSize: facts.virtualSize,
      compress: settings.compress,
      // A disk that the guest may come back to is read by qemu-img, which locks it.
      ...(still.ours ? { algorithms: digestAlgorithms(isRoot ? settings.hash : []) } : {}),
      // NOTE: a clone's blocks are the guest's own: for each that it writes to it would take a new
      // one, for as long as an image has the old ones, and find the disk full one day.
      sharesBlocks: decision.capture.mode === 'live',
      onSettled,
    }),
  );
  if (still.ours) await rm(still.path, { force: true });
  return { disk, facts, path, ...result, early };
}

/** A delta or a clone is a file; so is a disk that is read itself, unless it is remote. */
function sourceOf({ path, format, ours, disk, facts, snapshot }: StillDisk): SourceImage {
  const node = ours ? null : (disk.remote?.node ?? null);
  const { backingChain } = facts;
  return {
    ...{ path, format, backingChain },
    ...(node === null ? {} : { node }),
    // Its guest may write to the file, or be started, meanwhile.
    ...(snapshot ? { snapshot, shared: true } : {}),
  };
}

/** What was captured: the flat images, and the UEFI variables where they go along. */
interface ToPublish {
  id: string;
  flat: FlatDisks;
  nvram: string | undefined;
  journal: Journal;
}

/** Checks, uploads and activates the flat images as one, then moves the aliases. */
export async function publishImage(
  session: Session,
  decision: Decision,
  { id, flat, nvram, journal }: ToPublish,
): Promise<Omit<SnapshotResult, 'plan'>> {
  const { settings } = session;
  const { onEvent, signal } = settings;
  const { registry, inspection, capture } = decision;
  const paths = flat.disks.map(({ path }) => path);
  const requests = flat.disks.map((disk) => flattenRequest(session, decision, disk));
  for (const request of requests) await checkImage(request);
  const sealed = await sealImages(settings, { paths, tempDir: flat.folder });
  if (sealed) for (const request of requests) await checkImage(request);
  const base = await findBaseImage(registry, inspection.disks[0].facts.backingChain, signal);
  const image: ImageToPublish = {
    ...{ id, hash: settings.hash, aliases: settings.aliases, keep: settings.keep ?? null },
    disks: await disksToPublish(session, flat, { sealed }),
    disk_format: settings.format,
    min_ram: base?.min_ram ?? 0,
    properties: imageProperties(inspection, capture, flat, {
      ...{ base, sealed: settings.sysprep, own: settings.properties },
    }),
    domainXml: scrubDomainXml(inspection.inactiveXml),
    ...(nvram === undefined ? {} : { nvram }),
  };
  await journal.reach(IMAGE_POINT, image);
  const reach = (name: string, data?: unknown) => journal.reach(name, data);
  const written = new Map(
    flat.disks.map((disk) => {
      const { early, digests } = disk;
      return [dataName(session, disk), { early, digests: sealed ? undefined : digests }];
    }),
  );
  return finishImage(registry, image, { onEvent, signal, reach, written });
}

async function disksToPublish(
  session: Session,
  { disks }: FlatDisks,
  { sealed }: { sealed: boolean },
): Promise<ImageToPublish['disks']> {
  const found: ImageToPublish['disks'][number][] = [];
  for (const [index, each] of disks.entries()) {
    const { disk, facts, path, direct } = each;
    const { size } = await fileSource(path, { direct });
    found.push({
      ...{ path, size, name: dataName(session, each) },
      // What virt-sysprep changes goes through the page cache.
      direct: direct && !sealed,
      ...{ target: disk.target, bus: disk.bus, virtual_size: facts.virtualSize },
      // As Nova numbers them: 0 is what the guest boots from, null what it never tries.
      boot_index: index === 0 || disk.bootOrder !== null ? index : null,
    });
  }
  return found;
}

/** Of the disk's object in the registry. */
function dataName({ settings }: Session, { disk }: Pick<InspectedDisk, 'disk'>): string {
  return `${disk.target}.${settings.format}`;
}

function flattenRequest(
  { settings }: Session,
  { inspection }: Decision,
  { disk, path }: Pick<FlattenedDisk, 'disk' | 'path'>,
): Pick<FlattenRequest, 'target' | 'detail' | 'priority' | 'timeouts' | 'onEvent' | 'signal'> {
  const { format, config, onEvent, signal } = settings;
  const { convert: priority, timeouts } = config;
  const detail = detailOf(inspection, disk);
  return { target: { path, format }, detail, priority, timeouts, onEvent, signal };
}
