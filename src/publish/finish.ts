// Publishes the disks' image sources as one active image; `recover --resume` repeats it.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { PublishError } from '../core/errors.ts';
import { runStep } from '../core/events.ts';
import { type MovedAlias, pointAliases } from '../registry/aliases/point-aliases.ts';
import type { ImageObject, ImageRecord } from '../registry/record/image.ts';
import type { Registry } from '../registry/registry.ts';
import type { FinishOptions, ImageToPublish } from './image-to-publish.ts';
import { keepLast } from './keep.ts';
import { activeFields, uploadDisks } from './upload-disks.ts';

/** Points of the journal, with the data that a resume needs; `uploaded` is between them. */
export const IMAGE_POINT = 'image';
export const ACTIVE_POINT = 'active';

/** Name of the artefact with the UEFI variables. */
export const NVRAM_NAME = 'nvram.fd';

/** An active image, and its aliases. */
export interface PublishedImage {
  image: ImageRecord;
  aliases: readonly MovedAlias[];
}

/**
 * Uploads the disks and the artefacts, activates the image, then moves its aliases and deletes older
 * images as requested.
 * @throws PublishError UPLOAD, INTEGRITY, REGISTRY, IMAGE_STATUS; the signal's reason.
 */
export async function finishImage(
  registry: Registry,
  image: ImageToPublish,
  options: FinishOptions,
): Promise<PublishedImage> {
  const { onEvent, signal, checkpoint } = options;
  const { uploaded, removed } = await uploadDisks(registry, image, options);
  const fields = activeFields(image, uploaded);
  const artefacts = await putArtefacts(registry, image, options);
  const record = await runStep(onEvent, 'activate', () => {
    signal.throwIfAborted();
    return registry.activateImage(image.id, { ...fields, artefacts });
  });
  await checkpoint(ACTIVE_POINT);
  const aliases = await followUp(registry, image, record, options);
  await removed;
  return { image: record, aliases };
}

/** Moves the image's aliases, then deletes older images if `keep` asks for it. */
export async function followUp(
  registry: Registry,
  image: Pick<ImageToPublish, 'id' | 'aliases' | 'keep'>,
  record: ImageRecord,
  { onEvent, signal }: Pick<FinishOptions, 'onEvent' | 'signal'>,
): Promise<readonly MovedAlias[]> {
  const aliases = await pointAliases(registry, image.id, image.aliases, onEvent);
  if (image.keep !== null) await keepLast(registry, record, { keep: image.keep, signal, onEvent });
  return aliases;
}

async function putArtefacts(
  registry: Registry,
  { id, domainXml, nvram }: ImageToPublish,
  options: FinishOptions,
): Promise<ImageObject[]> {
  const artefacts = [
    await putArtefact(registry, { id, name: 'domain.xml', body: Buffer.from(domainXml) }, options),
  ];
  if (nvram !== undefined) {
    const body = await readFile(nvram);
    artefacts.push(await putArtefact(registry, { id, name: NVRAM_NAME, body }, options));
  }
  return artefacts;
}

async function putArtefact(
  registry: Registry,
  { id, name, body }: { id: string; name: string; body: Buffer },
  { resume, signal }: FinishOptions,
): Promise<ImageObject> {
  try {
    return await registry.putArtefact(id, name, body, { signal });
  } catch (error) {
    // An earlier process of the run has written it, from the same bytes.
    const exists = error instanceof PublishError && error.code === 'PRECONDITION_LOST';
    if (!(resume && exists)) throw error;
    const sha256 = createHash('sha256').update(body).digest('hex');
    return { name, size: body.length, sha256 };
  }
}
