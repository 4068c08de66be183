// From a flat image file to an active image in the registry, and back to nothing where that fails.
import { rm } from 'node:fs/promises';
import type { StillDisk } from '../capture/capture-run.ts';
import { checkImage, type Flattened, type FlattenRequest, flatten } from '../flatten/flatten.ts';
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
import { sealImage } from './seal.ts';
import { sendingAhead } from './send-ahead.ts';
import type { Session } from './session.ts';

/** The still disk, and the file that its flat image goes to. */
interface FlatImage {
  id: string;
  still: StillDisk;
  path: string;
}

/** A disk that was read, and how its flat image was written. */
export type FlattenedDisk = StillDisk & Flattened & { early: EarlyParts | undefined };

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
  const { virtualSize } = inspection.facts;
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

/** Converts the still disk into `path`; a delta or a clone is removed as soon as it has been read. */
export async function flattenDisk(
  session: Session,
  decision: Decision,
  { id, still, path }: FlatImage,
): Promise<FlattenedDisk> {
  const { settings } = session;
  const { inspection, capture } = decision;
  const { facts } = inspection;
  const guestWaits = capture.mode === 'cold' && !still.ours;
  const ahead = { id, name: dataName(session, decision), path, guestWaits };
  const { result, early } = await sendingAhead(session, decision, ahead, (onSettled) =>
    flatten({
      ...flattenRequest(settings, path),
      source: { path: still.path, format: still.format, backingChain: facts.backingChain },
      virtualSize: facts.virtualSize,
      compress: settings.compress,
      algorithms: digestAlgorithms(settings.hash),
      onSettled,
    }),
  );
  if (still.ours) await rm(still.path);
  return { ...still, ...result, early };
}

/** Checks, uploads and activates the flat image, then moves the aliases. */
export async function publishImage(
  session: Session,
  decision: Decision,
  {
    id,
    still,
    path,
    nvram,
    journal,
  }: FlatImage & { still: FlattenedDisk; nvram: string | undefined; journal: Journal },
): Promise<Omit<SnapshotResult, 'plan'>> {
  const { settings } = session;
  const { onEvent, signal } = settings;
  const { registry, inspection, capture } = decision;
  await checkImage(flattenRequest(settings, path));
  const sealed = await sealImage(settings, path);
  if (sealed) await checkImage(flattenRequest(settings, path));
  const base = await findBaseImage(registry, inspection.facts.backingChain, signal);
  const { size } = await fileSource(path);
  const image: ImageToPublish = {
    ...{ id, path, size, hash: settings.hash, aliases: settings.aliases },
    // What virt-sysprep changes goes through the page cache.
    direct: still.direct && !sealed,
    keep: settings.keep ?? null,
    name: dataName(session, decision),
    min_ram: base?.min_ram ?? 0,
    properties: imageProperties(inspection, capture, still, {
      ...{ base, sealed: settings.sysprep, own: settings.properties },
    }),
    domainXml: scrubDomainXml(inspection.inactiveXml),
    ...(nvram === undefined ? {} : { nvram }),
  };
  await journal.reach(IMAGE_POINT, image);
  const reach = (name: string, data?: unknown) => journal.reach(name, data);
  return finishImage(registry, image, {
    onEvent,
    signal,
    reach,
    early: still.early,
    digests: sealed ? undefined : still.digests,
  });
}

/** Of the image's object in the registry. */
function dataName({ settings }: Session, { inspection }: Decision): string {
  return `${inspection.disk.target}.${settings.format}`;
}

function flattenRequest(
  { format, config, onEvent, signal }: Session['settings'],
  path: string,
): Pick<FlattenRequest, 'target' | 'priority' | 'timeouts' | 'onEvent' | 'signal'> {
  const { convert: priority, timeouts } = config;
  return { target: { path, format }, priority, timeouts, onEvent, signal };
}
