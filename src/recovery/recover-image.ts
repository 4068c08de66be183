// The image of a dead run: published after all where that was asked for and can be, else killed.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { hasCode, messageOf, PublishError, publicReason } from '../core/errors.ts';
import type { OnEvent } from '../core/events.ts';
import { shellQuote } from '../core/shell-quote.ts';
import { ACTIVE_POINT, finishImage, followUp, IMAGE_POINT } from '../publish/finish.ts';
import type { FinishOptions, ImageToPublish, UploadedDisk } from '../publish/image-to-publish.ts';
import { UPLOADED_POINT } from '../publish/upload-disks.ts';
import { openConfigured } from '../registry/configured-registry.ts';
import type { Registry } from '../registry/registry.ts';
import {
  allReached,
  JOURNAL_FILE,
  Journal,
  type RunFacts,
  reached,
} from '../run/journal/journal.ts';
import type { RunOnDisk } from '../run/runs.ts';
import { volumesOf } from './recover-volumes.ts';
import { lastStep } from './run-status.ts';

export interface RecoverImageOptions {
  resume: boolean;
  onEvent: OnEvent;
  signal: AbortSignal;
  onNote: (note: string) => void;
}

export interface RecoveredImage {
  /** Null where the image has no record. */
  status: string | null;
  published: boolean;
}

/**
 * A run that makes no image has nothing here. An image that became active stays. Any other is killed with the reason, and what was uploaded of
 * it goes; unless it can be resumed and is to be.
 * @throws PublishError REGISTRY where the registry cannot be reached; what a resume fails with, if
 * it may go through another time.
 */
export async function recoverImage(
  config: Pick<Config, 'upload' | 'timeouts' | 'stateDir' | 'reserve'>,
  run: RunOnDisk,
  facts: RunFacts,
  options: RecoverImageOptions,
): Promise<RecoveredImage> {
  if (facts.registry === null) return { status: null, published: false };
  // NOTE: what the store can do, as its cache has it, decides how its open upload is gone on with.
  const { registry: url, s3 } = facts;
  const registry = await openConfigured(config, { url, s3, onEvent: options.onEvent });
  const image = (reached(run.entries, IMAGE_POINT) ?? undefined) as ImageToPublish | undefined;
  let reason = `the run died (last: ${lastStep(run) ?? 'nothing'})`;
  if (options.resume && image && (await isStillThere(run, image))) {
    const refused = await tryResume(registry, run, image, {
      ...options,
      timeouts: config.timeouts,
    });
    if (refused === undefined) return { status: 'active', published: true };
    reason += `, and could not be resumed: ${refused}`;
  }
  const { signal } = options;
  const record = await registry.discardImage(run.runId, reason, { signal });
  const aliases = (image ?? volumesOf(run))?.aliases ?? [];
  if (record?.status === 'active') {
    await checkAliases(registry, { id: run.runId, aliases }, options);
  }
  return { status: record?.status ?? null, published: false };
}

/** Each file as it was, but for those that the journal knows to be uploaded; and what goes along. */
async function isStillThere(
  { entries }: RunOnDisk,
  { disks, nvram }: ImageToPublish,
): Promise<boolean> {
  // An earlier version's journal named one file in another way.
  if (!Array.isArray(disks)) return false;
  if (nvram !== undefined && !(await stat(nvram).catch(() => undefined))) return false;
  const uploaded = uploadedDisks(entries).map(({ name }) => name);
  for (const { name, path, size, layers } of disks) {
    if (uploaded.includes(name)) continue;
    // What is made of layers is looked at when it is planned again.
    if (!(await isFile(path, layers ? undefined : size))) return false;
  }
  return true;
}

/** Of that size. One that cannot be looked at just now may be: who reads it tells what is wrong. */
async function isFile(path: string, size: number | undefined): Promise<boolean> {
  try {
    const file = await stat(path);
    return size === undefined || file.size === size;
  } catch (error) {
    return !hasCode(error, 'ENOENT', 'ENOTDIR');
  }
}

function uploadedDisks(entries: RunOnDisk['entries']): UploadedDisk[] {
  return allReached(entries, UPLOADED_POINT) as UploadedDisk[];
}

/** Resolves to why it cannot be resumed, or to undefined where the image is active. */
async function tryResume(
  registry: Registry,
  run: RunOnDisk,
  image: ImageToPublish,
  { onEvent, signal, onNote, timeouts }: RecoverImageOptions & Pick<FinishOptions, 'timeouts'>,
): Promise<string | undefined> {
  const journal = await Journal.reopen(join(run.path, JOURNAL_FILE));
  const uploaded = uploadedDisks(run.entries);
  const checkpoint = (name: string, data?: unknown) => journal.checkpoint(name, data);
  try {
    if (reached(run.entries, ACTIVE_POINT) !== undefined) {
      const record = await registry.getImage(image.id, { signal });
      await followUp(registry, image, record, { onEvent, signal });
    } else {
      const how = { onEvent, signal, checkpoint, timeouts, resume: true, uploaded };
      await finishImage(registry, image, how);
    }
    return undefined;
  } catch (error) {
    const isFinal = error instanceof PublishError && FINAL.has(error.code);
    if (!isFinal) throw error;
    // The record, which others read, does not say which files they were.
    onNote(`image ${image.id} could not be resumed: ${messageOf(error)}`);
    return publicReason(error);
  } finally {
    await journal.close();
  }
}

/** Trying again would only meet the same. */
const FINAL: ReadonlySet<string> = new Set(['INTEGRITY', 'IMAGE_STATUS', 'IMAGE_NOT_FOUND']);

/** The image was active before the run died, but its aliases may not have been moved yet. */
async function checkAliases(
  registry: Registry,
  image: Pick<ImageToPublish, 'id' | 'aliases'>,
  { signal, onNote }: RecoverImageOptions,
): Promise<void> {
  for (const alias of image.aliases) {
    const now = await registry.resolveAlias(alias, { signal });
    if (now?.image_id === image.id) continue;
    onNote(
      `image ${image.id} is active, but alias ${alias} was not moved to it; if it should be: virt-publish alias set ${shellQuote(alias)} ${image.id}`,
    );
  }
}
