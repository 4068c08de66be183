// Makes one flat image of a still chain: a checked file, or a plan that is read while it is uploaded.
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
  /** Names the image among several, for the events. */
  detail?: string | undefined;
  compress: Compression;
  /**
   * The source's first layer is the run's own file, so that this program may write the image itself. A
   * disk that a guest may use again is read by qemu-img, which locks it.
   */
  isScratch: boolean;
  /** Digests to compute while the image is written; not computed by qemu-img or with compression. */
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
  /** In hex, by algorithm; left out if they were not computed while the image was written. */
  digests?: Record<string, string>;
}

/** Below this size, copying is cheaper than checking whether blocks can be shared. */
const MIN_SHARED_BYTES = 8 * 1024 * 1024;

/**
 * Writes the image, itself in one pass if the source allows it, else with qemu-img. After a failure the
 * caller removes the partial file.
 * @throws PublishError QEMU_IMG, NO_SPACE, INTEGRITY; the signal's reason.
 */
export async function flatten(request: FlattenRequest): Promise<Flattened> {
  const work = async () => writeFile(await planOnePass(request), request);
  return runStep(request.onEvent, 'convert', work, () => request.detail);
}

/** An image file, or the plan that its bytes are made from during the upload. */
export type WrittenOrStreamed = { written: Flattened } | { streamed: PlannedImage };

/**
 * Returns a plan for an image that is made during the upload, if no file is needed and the source
 * allows it; else writes the image as {@link flatten} does.
 * @throws PublishError as {@link flatten}.
 */
export async function flattenOrPlan(
  request: FlattenRequest,
  needsFile: boolean,
): Promise<WrittenOrStreamed> {
  const { compress, detail, onEvent } = request;
  const canStream = !needsFile && compress === 'none';
  const work = async (): Promise<WrittenOrStreamed> => {
    // An image that is not written has no blocks to share.
    const planned = await planOnePass(canStream ? { ...request, sharesBlocks: false } : request);
    if (planned && canStream) return { streamed: planned };
    return { written: await writeFile(planned, request) };
  };
  return runStep(onEvent, 'convert', work, (result) =>
    'written' in result
      ? detail
      : [detail, 'from its layers, during the upload'].filter(Boolean).join(': '),
  );
}

async function planOnePass(request: FlattenRequest): Promise<PlannedImage | undefined> {
  const { source, target, compress, isScratch, virtualSize, timeouts } = request;
  const { sharesBlocks = false } = request;
  const isOnePass = target.format === 'qcow2' && compress !== 'zlib';
  const isLocal = source.node === undefined;
  if (!(isScratch && isOnePass && isLocal)) return undefined;
  const limits = { timeoutMs: timeouts.convertMs, signal: request.signal };
  const isCompressed = compress !== 'none';
  return planImage({ ...source, ...limits }, virtualSize, {
    skipZeroProbe: isCompressed,
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
  // NOTE: `qemu-img info` opens no backing file, and fails if one is given.
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
 * Checks an image with `qemu-img check`. For a `streamed` image, which has no file, it first writes the
 * tables to the target.
 * @throws PublishError INTEGRITY if the image's tables are damaged; QEMU_IMG, NO_SPACE.
 */
export async function checkImage(
  {
    target,
    detail,
    timeouts,
    onEvent,
    signal,
  }: Pick<FlattenRequest, 'target' | 'detail' | 'timeouts' | 'onEvent' | 'signal'>,
  streamed?: PlannedImage,
): Promise<void> {
  await runStep(
    onEvent,
    'check',
    async () => {
      const writing = { signal, timeoutMs: timeouts.convertMs };
      if (streamed) await writeTables(streamed, target.path, writing);
      const result = await check({ ...target, signal, timeoutMs: timeouts.checkMs });
      if (result.state !== 'corrupt' && result.state !== 'leaks') return result;
      throw new PublishError(
        'INTEGRITY',
        `qemu-img check found the new image damaged: ${result.corruptions} corruptions, ${result.leaks} leaks`,
        { step: 'check', hint: "check the work directory's disk, then run it again" },
      );
    },
    ({ state }) => (detail === undefined ? state : `${detail}: ${state}`),
  );
}
