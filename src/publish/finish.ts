// The last stretch of a run, from images that can be read to an active one; `recover --resume` walks it again.
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

/** Points of the journal from here on, each with what a resume needs of it; `uploaded` is between. */
export const IMAGE_POINT = 'image';
export const ACTIVE_POINT = 'active';

/** Of the UEFI variables, beside the data. */
export const NVRAM_NAME = 'nvram.fd';

/** An active image, and its aliases. */
export interface PublishedImage {
  image: ImageRecord;
  aliases: readonly MovedAlias[];
}

/** @throws PublishError UPLOAD, INTEGRITY, REGISTRY, IMAGE_STATUS; the signal's reason. */
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

/** What was asked for beyond the image itself: its aliases, and that older images go. */
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
    // Written by the process before, of the very bytes that its run has.
    const isThere = error instanceof PublishError && error.code === 'PRECONDITION_LOST';
    if (!(resume && isThere)) throw error;
    const sha256 = createHash('sha256').update(body).digest('hex');
    return { name, size: body.length, sha256 };
  }
}
