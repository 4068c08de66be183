// The image as one plain file on this host: the user's own, or one of ours, fetched and unpacked.

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { addAbortSignal } from 'node:stream';
import { PublishError, type Step } from '../errors.ts';
import { runStep } from '../events.ts';
import { withImageBytes } from '../formats/image-bytes.ts';
import { withTimeLimit } from '../time-limit.ts';
import { openDownload, parseUrl } from './download.ts';
import type { ImportSettings } from './import-settings.ts';
import { checkEnding, packingOf, unpack, unpackError } from './unpack.ts';
import { writeBounded } from './write-bounded.ts';

/** `ours`: made for this run, so it may be moved away. */
export interface BroughtFile {
  path: string;
  ours: boolean;
  /** Fails where the file is no longer the one that was looked at. */
  assertUnchanged(): Promise<void>;
}

/**
 * Fetches a URL into `folder`, unpacks what is packed into `folder`, and leaves a plain file where
 * it is. Nothing is fetched or unpacked before `access` is there.
 * @throws DOWNLOAD, IMAGE_REFUSED, NO_SPACE, USAGE; what `access` throws
 */
export async function bringFile(
  settings: ImportSettings,
  folder: string,
  access: Promise<void>,
): Promise<BroughtFile> {
  const { source } = settings;
  const isUrl = /^[a-z][a-z0-9+.-]*:\/\//i.test(source);
  if (isUrl) await access;
  const name = isUrl ? basename(parseUrl(source).pathname) : basename(source);
  const path = isUrl ? await fetchUrl(settings, folder) : resolve(source);
  const packing = await withImageBytes(path, async (bytes) => packingOf(await bytes.at(0, 8)));
  checkEnding(name, packing);
  if (packing === undefined) return broughtFile(path, isUrl);
  await access;
  const unpacked = join(folder, 'unpacked');
  await runStep(settings.onEvent, 'unpack', async () => {
    const { size } = await stat(path);
    const stream = createReadStream(path, { highWaterMark: 256 * 1024 });
    const plain = unpack(addAbortSignal(settings.signal, stream), packing, settings.signal);
    const onProgress = () => progress(settings, 'unpack', stream.bytesRead, size);
    try {
      return await writeBounded(plain, unpacked, { ...bounds(settings, 'unpack'), onProgress });
    } catch (error) {
      throw settings.signal.aborted ? settings.signal.reason : unpackError(packing, error);
    } finally {
      stream.destroy();
    }
  });
  return broughtFile(unpacked, true);
}

async function fetchUrl(settings: ImportSettings, folder: string): Promise<string> {
  const { onEvent, config, signal } = settings;
  const path = join(folder, 'fetched');
  await runStep(onEvent, 'download', () =>
    withTimeLimit({ ms: config.import.downloadMs, signal }, async (limited) => {
      try {
        await writeDownload(settings, path, limited);
      } catch (error) {
        throw downloadError(error, settings, limited);
      }
    }),
  );
  return path;
}

async function writeDownload(
  settings: ImportSettings,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const { config, maxBytes, allowPrivate, source } = settings;
  const idleMs = config.timeouts.requestMs;
  const { body, length } = await openDownload(source, { allowPrivate, maxBytes, idleMs, signal });
  const onProgress = (bytes: number) => progress(settings, 'download', bytes, length ?? 0);
  const limits = { ...bounds(settings, 'download'), signal, onProgress };
  const size = await writeBounded(body, path, limits);
  if (length !== undefined && size !== length) throw cutShort(size, length);
}

function bounds({ maxBytes, config, signal }: ImportSettings, step: Step) {
  return { step, maxBytes, reserve: config.reserve, signal };
}

function progress({ onEvent }: ImportSettings, step: Step, bytes: number, total: number): void {
  onEvent({ type: 'progress', step, bytes, total });
}

function downloadError(error: unknown, { signal, config }: ImportSettings, both: AbortSignal) {
  if (signal.aborted) return signal.reason;
  if (error instanceof PublishError) return error;
  const late = both.aborted ? `it took more than ${config.import.downloadMs / 1000} s` : undefined;
  const why = late ?? (error instanceof Error ? error.message : String(error));
  return new PublishError('DOWNLOAD', `The download broke off: ${why}. Try it again.`, {
    step: 'download',
    retryable: true,
    cause: error,
  });
}

function cutShort(size: number, length: number): PublishError {
  const message = `The download ended after ${size} of ${length} bytes. Try it again.`;
  return new PublishError('DOWNLOAD', message, { step: 'download', retryable: true });
}

// NOTE: the file of a user stays where it is, and whoever may write to it could give the checks one
// file and the upload another. Its change time cannot be set, so it tells.
async function broughtFile(path: string, ours: boolean): Promise<BroughtFile> {
  const before = await identity(path);
  const assertUnchanged = async () => {
    if ((await identity(path)) === before) return;
    const message = `${path} was changed while it was imported; nothing was imported. Try it again when nobody writes to it.`;
    throw new PublishError('IMAGE_REFUSED', message, { step: 'check' });
  };
  return { path, ours, assertUnchanged };
}

async function identity(path: string): Promise<string> {
  const { dev, ino, size, ctimeNs, mtimeNs } = await stat(path, { bigint: true });
  return [dev, ino, size, ctimeNs, mtimeNs].join();
}
