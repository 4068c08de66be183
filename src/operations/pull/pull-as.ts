// Pulls an image, and converts it if another format is asked for.
import { constants } from 'node:fs';
import { open, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { withReserveWatch } from '../../capture/reserve-watch.ts';
import type { Config } from '../../config/config.ts';
import { PublishError } from '../../core/errors.ts';
import type { OnEvent } from '../../core/events.ts';
import { runStep } from '../../core/events.ts';
import { type DiskFormat, TARGET_FORMATS, type TargetFormat } from '../../core/model.ts';
import { assertEnoughSpace, measureSpace, type SpaceNeed } from '../../domain/space.ts';
import { withImageBytes } from '../../formats/image-bytes.ts';
import { inspectImage } from '../../formats/inspect-image.ts';
import { orMissing } from '../../host/files/file-errors.ts';
import { openPinnedFolder } from '../../host/files/pinned-folder.ts';
import { checkImage, flatten } from '../../image/flatten.ts';
import { measure, qemuFormat } from '../../qemu/qemu-img.ts';
import type { ImageRecord } from '../../registry/record/image.ts';
import { diskData } from '../../registry/record/image-objects.ts';
import type { Registry } from '../../registry/registry.ts';
import { lockPull, notOwn } from '../../transfer/download/pull-lock.ts';
import { assertReplaceable, nameFile } from '../../transfer/download/pull-name.ts';
import { assertPlace, placeError } from '../../transfer/download/pull-place.ts';

export interface PullAsOptions {
  file: string;
  /** Target of the disk; may be left out if the image has only one. */
  disk?: string | undefined;
  /** The image's own if left out. */
  format?: DiskFormat | undefined;
  /** Name of an artefact to pull instead of the data; it cannot be converted. */
  artefact?: string | undefined;
  overwrite: boolean;
  config: Config;
  signal: AbortSignal;
  onEvent: OnEvent;
}

/**
 * Pulls an image to FILE; if another format is asked for, into the folder FILE.converting, and
 * converts it there. FILE gets its name only when it is complete and checked.
 * @throws what `Registry.pullImage` throws; IMAGE_REFUSED, QEMU_IMG, NO_SPACE, INTEGRITY
 */
export async function pullAs(
  registry: Registry,
  image: ImageRecord,
  options: PullAsOptions,
): Promise<void> {
  const { file, format = image.disk_format, overwrite } = options;
  await assertPlace(file);
  if (format === image.disk_format) return pullPlain(registry, image, { ...options, file });
  if (format === 'iso') throw noIso(image.disk_format);
  await assertReplaceable(file, overwrite);
  const path = `${file}.converting`;
  const folder = await openPinnedFolder(path, (reason) => notOwn(path, reason)).catch((error) => {
    throw placeError(error, file);
  });
  try {
    await pullAndConvert(registry, image, { path, folder: folder.path }, { ...options, format });
  } finally {
    await folder.release();
  }
}

/** `folder` is a descriptor path of the folder at `path`, which another user may have moved since. */
async function pullAndConvert(
  registry: Registry,
  image: ImageRecord,
  { path, folder }: { path: string; folder: string },
  options: PullAsOptions & { format: TargetFormat },
): Promise<void> {
  const { file, format, overwrite } = options;
  const [source, converted] = [join(folder, 'source'), join(folder, 'converted')];
  const lock = await lockPull(join(folder, 'lock'), file);
  try {
    const pulled = { ...options, file: join(path, 'source'), format: undefined, overwrite: true };
    await pullPlain(registry, image, pulled);
    await convertPulled({ path: source, format: image.disk_format }, converted, format, options);
    await nameConverted(converted, file, overwrite);
  } finally {
    await orMissing(unlink(source));
    await orMissing(unlink(converted));
    await lock.release();
  }
}

async function nameConverted(path: string, to: string, overwrite: boolean): Promise<void> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    await nameFile({ file, path }, to, overwrite);
  } finally {
    await file.close();
  }
}

function noIso(format: DiskFormat): PublishError {
  const message = `an image of format ${format} cannot be converted to an ISO`;
  const hint = `leave --format out, or name one of ${TARGET_FORMATS.join(', ')}`;
  return new PublishError('USAGE', message, { step: 'pull', hint });
}

async function pullPlain(
  registry: Registry,
  image: ImageRecord,
  { file, disk, artefact, overwrite, config, signal, onEvent }: PullAsOptions,
): Promise<void> {
  const object = image.artefacts.find(({ name }) => name === artefact);
  const isData = artefact === undefined && image.status === 'active';
  const total = object?.size ?? (isData ? diskData(image, disk).size : 0);
  // The holes of a raw image are unknown before it was fetched.
  const isKnown = image.disk_format !== 'raw';
  const needed = isKnown ? Math.max(0, total - (await allocatedBytes(`${file}.partial`))) : 0;
  const room = { directory: dirname(file), needed, purpose: 'the image' };
  await runStep(onEvent, 'pull', () =>
    withRoom(room, { config, signal }, (watched) =>
      registry.pullImage(image.id, file, {
        ...(artefact === undefined ? {} : { artefact }),
        ...{ disk, overwrite },
        signal: watched,
        onProgress: (bytes) => onEvent({ type: 'progress', step: 'pull', bytes, total }),
        onNote: (message) => onEvent({ type: 'note', level: 'info', step: 'pull', message }),
      }),
    ),
  );
}

async function allocatedBytes(file: string): Promise<number> {
  return ((await orMissing(stat(file)))?.blocks ?? 0) * 512;
}

/**
 * Needs room beyond the reserve, and is watched all the same: other programs write there too.
 * @throws NO_SPACE
 */
async function withRoom<T>(
  room: SpaceNeed,
  { config: { reserve }, signal }: Pick<PullAsOptions, 'config' | 'signal'>,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const alternative = 'name a file on a larger file system';
  assertEnoughSpace(await measureSpace([room], reserve), alternative);
  const watch = { directories: [room.directory], reserve, signal, alternative };
  return withReserveWatch(watch, async (watched) => {
    await watched.check();
    return work(watched.signal);
  });
}

// NOTE: the digest proves that the data matches the record, not that it is harmless. So it is
// inspected like any foreign image before qemu-img opens it.
async function convertPulled(
  source: { path: string; format: DiskFormat },
  path: string,
  format: TargetFormat,
  { file, config, signal: stop, onEvent }: PullAsOptions,
): Promise<void> {
  const { maxVirtualBytes } = config.import;
  const { virtualSize } =
    qemuFormat(source.format) === 'raw'
      ? { virtualSize: (await stat(source.path)).size }
      : await withImageBytes(source.path, (bytes) =>
          inspectImage(bytes, { expected: source.format, maxVirtualBytes }),
        );
  const chained = { path: source.path, format: qemuFormat(source.format), backingChain: [] };
  const limits = { signal: stop, timeoutMs: config.timeouts.requestMs };
  const { required } = await measure({ source: chained, targetFormat: format, ...limits });
  const room = { directory: dirname(file), needed: required, purpose: 'the converted image' };
  await withRoom(room, { config, signal: stop }, async (signal) => {
    const { timeouts } = config;
    const request = { target: { path, format }, timeouts, onEvent, signal };
    await flatten({
      ...{ ...request, source: chained, isScratch: false, virtualSize },
      compress: 'none',
    });
    await checkImage(request);
  });
}
