// The image as one plain file on this host: the user's own, or a scratch file, fetched and unpacked.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { addAbortSignal } from 'node:stream';
import { PublishError } from '../../core/errors.ts';
import { runStep } from '../../core/events.ts';
import { withImageBytes } from '../../formats/image-bytes.ts';
import { hashImage } from '../../transfer/digests/hash-image.ts';
import { fileSource } from '../../transfer/upload/file-source.ts';
import { parseUrl } from './fetch/download.ts';
import { fetchSource } from './fetch/fetch-source.ts';
import { type Packing, packingOf, unpack, unpackError } from './fetch/unpack.ts';
import { writeBounded } from './fetch/write-bounded.ts';
import { boundsOf, type ImportSettings, isStandardInput, reportBytes } from './import-settings.ts';
import { readStandardInput } from './standard-input.ts';
import { type Place, type StillFile, unchanged, withStillFile } from './still-file.ts';

/** An image file, unpacked. */
export interface BroughtFile extends StillFile {
  /** Encodings of the server and packings that were removed, the outermost first. */
  removed: readonly string[];
}

/**
 * Calls `work` with the image of the settings: a URL or standard input is read into the folder, what is packed is
 * unpacked into it, and a plain file is not moved. The settings that `work` gets have a signal
 * that aborts too if a process writes to that file.
 * @throws DOWNLOAD, IMAGE_REFUSED, INTEGRITY (another digest), NO_SPACE, USAGE; what `access` and
 * `work` throw
 */
export async function withBroughtFile<T>(
  settings: ImportSettings,
  place: Place,
  work: (brought: BroughtFile, settings: ImportSettings) => Promise<T>,
): Promise<T> {
  const { source } = settings;
  if (isStandardInput(source)) {
    const path = await readStandardInput(settings, place);
    await checkDigest(path, settings);
    const read = { path, names: [], removed: [], isScratch: true, assertUnchanged: unchanged };
    return work(await unpacked(read, settings, place), settings);
  }
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(source))
    return withStillFile(settings, place, async (still, limited) => {
      await checkDigest(still.path, limited);
      const file = { ...still, removed: [] };
      return work(await unpacked(file, limited, place), limited);
    });
  parseUrl(source);
  await place.access;
  const { path, names, encodings, sentSha256 } = await fetchSource(settings, place.folder);
  await checkDigest(path, settings, sentSha256);
  const scratch = { isScratch: true, assertUnchanged: unchanged };
  const fetched = { path, names, removed: encodings, ...scratch };
  return work(await unpacked(fetched, settings, place), settings);
}

/**
 * NOTE: of a file that its server keeps encoded, the list of digests has the encoded bytes; of one
 * that is encoded on the way, the decoded ones. A match of either cannot be chance.
 * @throws INTEGRITY
 */
async function checkDigest(
  path: string,
  settings: ImportSettings,
  sentSha256?: string,
): Promise<void> {
  const { sha256: wanted, onEvent, signal } = settings;
  if (wanted === undefined || wanted === sentSha256) return;
  await runStep(onEvent, 'verify', async () => {
    const source = await fileSource(path);
    const onProgress = (bytes: number) => reportBytes(settings, 'verify', bytes, source.size);
    const { sha256 } = await hashImage(source, ['sha256'], { signal, onProgress });
    if (sha256 === wanted) return;
    const message = `the bytes have the sha256 ${sha256}, not ${wanted} as --sha256 says`;
    const hint = 'fetch them again, and check where the digest is from';
    throw new PublishError('INTEGRITY', message, { step: 'verify', hint });
  });
}

async function unpacked(
  packed: BroughtFile,
  settings: ImportSettings,
  { folder, access }: Place,
): Promise<BroughtFile> {
  const packing = await withImageBytes(packed.path, packingOf);
  if (packing === undefined) return packed;
  await access;
  const path = join(folder, 'unpacked');
  await runStep(settings.onEvent, 'unpack', () => unpackTo(path, packed.path, packing, settings));
  return { ...packed, path, isScratch: true, removed: [...packed.removed, packing] };
}

async function unpackTo(
  path: string,
  from: string,
  packing: Packing,
  settings: ImportSettings,
): Promise<void> {
  const { size } = await stat(from);
  const stream = createReadStream(from, { highWaterMark: 256 * 1024 });
  const plain = unpack(addAbortSignal(settings.signal, stream), packing, settings.signal);
  const onProgress = () => reportBytes(settings, 'unpack', stream.bytesRead, size);
  try {
    await writeBounded(plain, path, { ...boundsOf(settings, 'unpack'), onProgress });
  } catch (error) {
    throw settings.signal.aborted ? settings.signal.reason : unpackError(packing, error);
  } finally {
    stream.destroy();
  }
}
