// Publishes flat images as an active image in the registry; if that fails, removes their data.
import { join } from 'node:path';
import { removeScratch } from '../../host/files/scratch-file.ts';
import { checkImage } from '../../image/flatten.ts';
import { markOfPlan, type PlannedImage } from '../../image/plan/plan-image.ts';
import { plannedBytes } from '../../image/plan/planned-source.ts';
import type { ImageLayers } from '../../image/plan/reopen-image.ts';
import { scrubDomainXml } from '../../libvirt/xml/domain-xml.ts';
import { finishImage, IMAGE_POINT, type PublishedImage } from '../../publish/finish.ts';
import type { ImageToPublish } from '../../publish/image-to-publish.ts';
import { minDiskGib, withQueuedImage } from '../../registry/queued-image.ts';
import type { Journal } from '../../run/journal/journal.ts';
import { fileSource } from '../../transfer/upload/file-source.ts';
import { findBaseImage } from './base-image.ts';
import type { Decision } from './decide.ts';
import { dataName, type FlatDisks, type FlattenedDisk, flattenRequest } from './flatten-disks.ts';
import { imageProperties } from './image-fields.ts';
import { sealImages } from './seal.ts';
import type { SnapshotSession } from './settings.ts';

/**
 * Queues the image's record, then runs `work`. If `work` fails, the record gets status `killed` and a reason, and
 * no data of the image is left.
 */
export async function withImageRecord<T>(
  { settings }: SnapshotSession,
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
    await journal.checkpoint('queued');
    return work();
  });
}

/** What was captured: the flat images, and the UEFI variables if they are published too. */
interface ToPublish {
  id: string;
  flat: FlatDisks;
  nvram: string | undefined;
  journal: Journal;
}

/** Checks, uploads and activates the flat images as one, then moves the aliases. */
export async function publishImage(
  session: SnapshotSession,
  decision: Decision,
  { id, flat, nvram, journal }: ToPublish,
): Promise<PublishedImage> {
  const { settings } = session;
  const { onEvent, signal } = settings;
  const { registry, inspection, capture } = decision;
  await checkImages(session, decision, flat);
  const sealed = await sealImages(settings, {
    paths: flat.disks.map(({ path }) => path),
    tempDir: flat.folder,
  });
  if (sealed) await checkImages(session, decision, flat);
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
  await journal.checkpoint(IMAGE_POINT, image);
  const checkpoint = (name: string, data?: unknown) => journal.checkpoint(name, data);
  const written = new Map(
    flat.disks.map((disk) => {
      const { digests, streamed } = disk;
      const known = { digests: sealed ? undefined : digests, streamed };
      return [dataName(session, disk), known];
    }),
  );
  const { timeouts } = settings.config;
  return finishImage(registry, image, { onEvent, signal, checkpoint, written, timeouts });
}

async function checkImages(
  session: SnapshotSession,
  decision: Decision,
  { disks, folder }: FlatDisks,
): Promise<void> {
  for (const disk of disks) {
    const { streamed } = disk;
    const path = streamed ? join(folder, `${dataName(session, disk)}.tables`) : disk.path;
    await checkImage(flattenRequest(session, decision, { disk: disk.disk, path }), streamed);
    if (streamed) await removeScratch({ path, isScratch: true });
  }
}

async function disksToPublish(
  session: SnapshotSession,
  { disks }: FlatDisks,
  { sealed }: { sealed: boolean },
): Promise<ImageToPublish['disks']> {
  const found: ImageToPublish['disks'][number][] = [];
  for (const [index, each] of disks.entries()) {
    const { disk, facts, path, isScratch, direct, streamed } = each;
    found.push({
      ...{ path, isScratch, name: dataName(session, each) },
      ...(streamed
        ? { layers: layersOf(each, streamed) }
        : { size: (await fileSource(path, { direct })).size }),
      // virt-sysprep writes through the page cache.
      direct: direct && !sealed,
      ...{ target: disk.target, bus: disk.bus, virtual_size: facts.virtualSize },
      // Numbered like in Nova: 0 is the disk that the guest boots from, null one that it never tries.
      boot_index: index === 0 || disk.bootOrder !== null ? index : null,
    });
  }
  return found;
}

function layersOf({ format, facts }: FlattenedDisk, streamed: PlannedImage): ImageLayers {
  const backingChain = facts.backingChain.map((layer) => ({
    path: layer.path,
    format: layer.format,
  }));
  return { format, backingChain, mark: markOfPlan(streamed), size: plannedBytes(streamed) };
}
