// The image of a dead run: published if requested and possible, else its record becomes `killed`.
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
  /** Null if the image has no record. */
  status: string | null;
  published: boolean;
}

/**
 * Does nothing for a run without an image. Keeps an image that became active. Resumes an image if
 * that is requested and possible. Any other image becomes `killed` with the reason, and its uploaded
 * data is removed.
 * @throws PublishError REGISTRY if the registry cannot be reached; the error of a resume that may
 * succeed later.
 */
export async function recoverImage(
  config: Pick<Config, 'upload' | 'timeouts' | 'stateDir' | 'reserve'>,
  run: RunOnDisk,
  facts: RunFacts,
  options: RecoverImageOptions,
): Promise<RecoveredImage> {
  if (facts.registry === null) return { status: null, published: false };
  // NOTE: the cached capabilities of the store decide how its open upload is continued.
  const { registry: url, s3 } = facts;
  const registry = await openConfigured(config, { url, s3, onEvent: options.onEvent });
  const image = (reached(run.entries, IMAGE_POINT) ?? undefined) as ImageToPublish | undefined;
  let reason = `the run died (last: ${lastStep(run) ?? 'nothing'})`;
  if (options.resume && image && (await hasItsFiles(run, image))) {
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

/** Whether every file exists with its size, except those that the journal has as uploaded. */
async function hasItsFiles(
  { entries }: RunOnDisk,
  { disks, nvram }: ImageToPublish,
): Promise<boolean> {
  // Journals of an earlier version name a single file in another way.
  if (!Array.isArray(disks)) return false;
  if (nvram !== undefined && !(await stat(nvram).catch(() => undefined))) return false;
  const uploaded = uploadedDisks(entries).map(({ name }) => name);
  for (const { name, path, size, layers } of disks) {
    if (uploaded.includes(name)) continue;
    // An image that is streamed from its layers is checked when it is planned again.
    if (!(await isFile(path, layers ? undefined : size))) return false;
  }
  return true;
}

/** Whether the file exists with that size. True if it is inaccessible: its reader reports the error. */
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

/** Resolves to the reason if the image cannot be resumed, to undefined if it is active. */
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
    // The record, which other users read, gets only the public reason, without paths.
    onNote(`cannot resume image ${image.id}: ${messageOf(error)}`);
    return publicReason(error);
  } finally {
    await journal.close();
  }
}

/** Errors that a retry would meet again. */
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
      `image ${image.id} is active, but alias ${alias} does not point to it; to move it, run virt-publish alias set ${shellQuote(alias)} ${image.id}`,
    );
  }
}
