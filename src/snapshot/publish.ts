// From a flat image file to an active image in the registry, and back to nothing where that fails.
import { rm } from 'node:fs/promises';
import type { StillDisk } from '../capture/capture-run.ts';
import { runStep } from '../events.ts';
import { checkImage, type FlattenRequest, flatten } from '../flatten/flatten.ts';
import { scrubDomainXml } from '../libvirt/domain-xml.ts';
import type { ImageRecord } from '../registry/image.ts';
import { hashFields, minDiskGib, withQueuedImage } from '../registry/queued-image.ts';
import type { SnapshotResult } from '../snapshot-types.ts';
import { fileSource } from '../upload/source.ts';
import { findBaseImage } from './base-image.ts';
import type { Decision } from './decide.ts';
import { imageProperties } from './image-fields.ts';
import type { Session } from './session.ts';

/** The still disk as a flat file. `isDelta`: the disk is ours and no longer needed after this. */
export interface FlatImage {
  still: StillDisk;
  path: string;
}

/**
 * Queues the image's record for the time of `work`, and has it say `killed` and why where `work`
 * fails.
 */
export async function withImageRecord<T>(
  { settings }: Session,
  { registry, imageName, inspection }: Decision,
  id: string,
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
  return withQueuedImage(registry, fields, onEvent, work);
}

/** Converts the still disk into `path`; a delta is removed as soon as it has been read. */
export async function flattenDisk(
  { settings }: Session,
  { inspection, capture }: Decision,
  { still, path }: FlatImage,
): Promise<StillDisk> {
  const { facts } = inspection;
  await flatten({
    ...flattenRequest(settings, path),
    source: { path: still.path, format: still.format, backingChain: facts.backingChain },
    virtualSize: facts.virtualSize,
    compress: settings.compress,
  });
  if (capture.mode === 'live') await rm(still.path);
  return still;
}

/** Checks, uploads and activates the flat image, then moves the aliases. */
export async function publishImage(
  { settings }: Session,
  decision: Decision,
  { id, still, path }: FlatImage & { id: string },
): Promise<Omit<SnapshotResult, 'plan'>> {
  const { onEvent, signal } = settings;
  const { registry, inspection, capture } = decision;
  await checkImage(flattenRequest(settings, path));
  const base = await findBaseImage(registry, inspection.facts.backingChain, signal);
  const name = `${inspection.disk.target}.${settings.format}`;
  const source = await fileSource(path);
  const { digests, size } = await runStep(onEvent, 'upload', async () => {
    await registry.markSaving(id);
    return registry.uploadData(id, name, source, {
      hash: settings.hash,
      moveFrom: path,
      signal,
      onProgress: (bytes) =>
        onEvent({ type: 'progress', step: 'upload', bytes, total: source.size }),
    });
  });
  const artefact = await registry.putArtefact(
    id,
    'domain.xml',
    scrubDomainXml(inspection.inactiveXml),
  );
  const image = await runStep(onEvent, 'activate', () => {
    signal.throwIfAborted();
    return registry.activateImage(id, {
      data: { name, size, sha256: digests.sha256 },
      artefacts: [artefact],
      ...hashFields(digests),
      min_ram: base?.min_ram ?? 0,
      properties: imageProperties(inspection, capture, still, { base, own: settings.properties }),
    });
  });
  return { image, aliases: await moveAliases(settings, decision, image) };
}

async function moveAliases(
  { aliases, onEvent }: Session['settings'],
  { registry }: Decision,
  image: ImageRecord,
): Promise<SnapshotResult['aliases']> {
  const moved: { alias: string; version: number }[] = [];
  for (const alias of aliases) {
    moved.push(await runStep(onEvent, 'alias', () => registry.setAlias(alias, image.id)));
  }
  return moved;
}

function flattenRequest(
  { format, config, onEvent, signal }: Session['settings'],
  path: string,
): Pick<FlattenRequest, 'target' | 'timeouts' | 'onEvent' | 'signal'> {
  return { target: { path, format }, timeouts: config.timeouts, onEvent, signal };
}
