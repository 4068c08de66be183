// A still chain becomes one flat image file, checked before anybody relies on it.
import { PublishError } from '../core/errors.ts';
import { type OnEvent, runStep } from '../core/events.ts';
import type { Compression, TargetFormat } from '../core/model.ts';
import { assertNotResized } from '../domain/chain/read-extents.ts';
import { type Converted, check, convert, info, type SourceImage } from '../qemu/qemu-img.ts';
import { type PlannedImage, planImage } from './plan/plan-image.ts';
import { writeTables } from './plan/planned-source.ts';
import { writeCompressedImage, writeImage } from './write-image.ts';

export interface FlattenRequest {
  source: SourceImage;
  virtualSize: number;
  target: { path: string; format: TargetFormat };
  /** Which of several images it is, for the events. */
  detail?: string | undefined;
  compress: Compression;
  /**
   * The source's first layer is the run's own file, so one pass of our own may write the image. A
   * disk that a guest may come back to is read by qemu-img, which locks it.
   */
  isScratch: boolean;
  /** Digests that the one pass computes if it does not compress. */
  algorithms?: readonly string[];
  /**
   * The image may share the layers' blocks, and so share with whatever else shares theirs. Applies
   * only if `isScratch`.
   */
  sharesBlocks?: boolean;
  timeouts: { convertMs: number; checkMs: number };
  onEvent: OnEvent;
  signal: AbortSignal;
}

export interface Flattened extends Converted {
  /** In hex, by algorithm, where it was written in one pass. */
  digests?: Record<string, string>;
}

/** Below this size, copying is cheaper than checking whether blocks can be shared. */
const MIN_SHARED_BYTES = 8 * 1024 * 1024;

/**
 * Writes the image: in one pass of our own where that can be done, else by qemu-img. The partial
 * file after a failure is the caller's to remove.
 * @throws PublishError QEMU_IMG, NO_SPACE, INTEGRITY; the signal's reason.
 */
export async function flatten(request: FlattenRequest): Promise<Flattened> {
  const work = async () => writeFile(await planOnePass(request), request);
  return runStep(request.onEvent, 'convert', work, () => request.detail);
}

/** A file, or what the image is made of while it is sent. */
export type WrittenOrStreamed = { written: Flattened } | { streamed: PlannedImage };

/**
 * Writes the image as {@link flatten} does, or, if no file is needed and the layers allow it, plans
 * how the image is made while it is sent.
 * @throws PublishError as {@link flatten}.
 */
export async function flattenOrPlan(
  request: FlattenRequest,
  needsFile: boolean,
): Promise<WrittenOrStreamed> {
  const { compress, detail, onEvent } = request;
  const mayStay = !needsFile && compress === 'none';
  const work = async (): Promise<WrittenOrStreamed> => {
    // An image that is not written has no blocks to share.
    const planned = await planOnePass(mayStay ? { ...request, sharesBlocks: false } : request);
    if (planned && mayStay) return { streamed: planned };
    return { written: await writeFile(planned, request) };
  };
  return runStep(onEvent, 'convert', work, (result) =>
    'written' in result
      ? detail
      : [detail, 'of its layers, while it is sent'].filter(Boolean).join(': '),
  );
}

async function planOnePass(request: FlattenRequest): Promise<PlannedImage | undefined> {
  const { source, target, compress, isScratch, virtualSize, timeouts } = request;
  const { sharesBlocks = false } = request;
  const isOurs = target.format === 'qcow2' && compress !== 'zlib';
  const isHere = source.node === undefined;
  if (!(isScratch && isOurs && isHere)) return undefined;
  const limits = { timeoutMs: timeouts.convertMs, signal: request.signal };
  const isCompressed = compress !== 'none';
  return planImage({ ...source, ...limits }, virtualSize, {
    probeZeros: isCompressed,
    minSharedBytes: isCompressed || !sharesBlocks ? Infinity : MIN_SHARED_BYTES,
  });
}

async function writeFile(
  planned: PlannedImage | undefined,
  request: FlattenRequest,
): Promise<Flattened> {
  if (!planned) return convertBy(request);
  return request.compress === 'none'
    ? writeOnePass(planned, request)
    : compressOnePass(planned, request);
}

async function writeOnePass(planned: PlannedImage, request: FlattenRequest): Promise<Flattened> {
  const { target, algorithms = [], timeouts, onEvent, signal } = request;
  const digests = await writeImage(planned, {
    ...{ path: target.path, algorithms, timeoutMs: timeouts.convertMs, signal },
    onSettled: (bytes) => {
      const total = planned.dataBytes;
      onEvent({ type: 'progress', step: 'convert', bytes: Math.min(bytes, total), total });
    },
  });
  return { direct: true, digests };
}

async function compressOnePass(
  planned: PlannedImage,
  { target, timeouts, onEvent, signal }: FlattenRequest,
): Promise<Flattened> {
  await writeCompressedImage(planned, {
    ...{ path: target.path, timeoutMs: timeouts.convertMs, signal },
    onRead: (bytes) =>
      onEvent({ type: 'progress', step: 'convert', bytes, total: planned.dataBytes }),
  });
  return { direct: true };
}

async function convertBy(request: FlattenRequest): Promise<Converted> {
  const { source, target, compress, virtualSize, timeouts, onEvent, signal } = request;
  // NOTE: `qemu-img info` opens no layer below, and refuses to be told of one.
  const { backingChain: _, ...top } = source;
  const now = await info({ ...top, signal, timeoutMs: timeouts.checkMs });
  assertNotResized(source.path, now.virtualSize, virtualSize);
  return convert({
    source,
    target,
    compress,
    virtualSize,
    onProgress: (bytes, total) => onEvent({ type: 'progress', step: 'convert', bytes, total }),
    signal,
    timeoutMs: timeouts.convertMs,
  });
}

/**
 * `unwritten`: there is no file of the image, so its tables are written to the target to be checked.
 * @throws PublishError INTEGRITY where the image's own tables are not whole; QEMU_IMG, NO_SPACE.
 */
export async function checkImage(
  {
    target,
    detail,
    timeouts,
    onEvent,
    signal,
  }: Pick<FlattenRequest, 'target' | 'detail' | 'timeouts' | 'onEvent' | 'signal'>,
  unwritten?: PlannedImage,
): Promise<void> {
  await runStep(
    onEvent,
    'check',
    async () => {
      const writing = { signal, timeoutMs: timeouts.convertMs };
      if (unwritten) await writeTables(unwritten, target.path, writing);
      const result = await check({ ...target, signal, timeoutMs: timeouts.checkMs });
      if (result.state !== 'corrupt' && result.state !== 'leaks') return result;
      throw new PublishError(
        'INTEGRITY',
        `qemu-img check found the new image damaged (${result.corruptions} corruptions, ${result.leaks} leaks); nothing was published. Run it again, and check the work directory's disk`,
        { step: 'check' },
      );
    },
    ({ state }) => (detail === undefined ? state : `${detail}: ${state}`),
  );
}
