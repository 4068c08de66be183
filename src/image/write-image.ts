// Writes a flat qcow2 in one pass of our own, where each byte of the chain can be read at a known place.
import { type MessagePort, Worker } from 'node:worker_threads';
import { endWorker } from '../core/end-worker.ts';
import { messageOf } from '../core/errors.ts';
import { ignoreRejection } from '../core/ignore-rejection.ts';
import { programUrl } from '../core/package-files.ts';
import type { TimeLimits } from '../core/time-limit.ts';
import { writeFailure, writeInTime } from '../qemu/write-failure.ts';
import type { Compressors } from './compress/compressors.ts';
import type { CompressedImageWork } from './compressed-image-worker.ts';
import { prepareImage } from './delta/prepare-image.ts';
import type { PlainImageWork } from './image-worker.ts';
import { assertUnchanged, type PlannedImage } from './plan/plan-image.ts';
import type { ImageAnswer, ImageWork } from './qcow2/image-thread.ts';

interface WriteOptions extends TimeLimits {
  path: string;
}

export interface WriteImageOptions extends WriteOptions {
  /** In hex at the end, sha256 among them. */
  algorithms: readonly string[];
  /** All before that byte is in the file and stays as it is. */
  onSettled: (bytes: number) => void;
}

export interface WriteCompressedOptions extends WriteOptions {
  /** Ready, and for this image alone; the caller closes them. */
  compressors: Compressors;
  /** Told how much of the data is in the file. */
  onRead: (bytes: number) => void;
}

/**
 * Resolves to the digests of what was written, when it is on the disk.
 * @throws PublishError NO_SPACE, QEMU_IMG; INTEGRITY where a layer was changed meanwhile; the
 * signal's reason.
 */
export async function writeImage(
  planned: PlannedImage,
  { algorithms, onSettled, ...options }: WriteImageOptions,
): Promise<Record<string, string>> {
  const { path } = options;
  options.signal.throwIfAborted();
  // A file that is there already has its full length, of which nothing has settled yet.
  onSettled(0);
  const prepared = await writeInTime(options, (signal) => prepareImage(planned, path, signal));
  const { layers, extents, virtualSize } = planned;
  const isBegun = prepared.kept > 0 || prepared.isShared;
  const workerData: PlainImageWork = {
    ...{ extents, virtualSize, path, algorithms, isBegun, ...prepared },
    layers: prepared.kept > 0 ? [path, ...layers.slice(1)] : layers,
  };
  const begun = { ...planned, kept: prepared.kept };
  return runThread('image/image-worker.js', begun, {
    ...options,
    workerData,
    onBytes: onSettled,
  });
}

/**
 * Writes the same compressed with zstd. There are no digests of it: its tables, which stand at its
 * begin, are known at the end.
 * @throws as `writeImage`.
 */
export async function writeCompressedImage(
  planned: PlannedImage,
  { compressors, onRead, ...options }: WriteCompressedOptions,
): Promise<void> {
  const { layers, extents, virtualSize } = planned;
  const { path } = options;
  const { forWriter } = compressors;
  const workerData: CompressedImageWork = {
    ...{ layers, extents, virtualSize, path, isBegun: false, compressors: forWriter },
  };
  const failed = ignoreRejection(
    compressors.failed.catch((error: unknown) => {
      throw writeFailure(path, messageOf(error));
    }),
  );
  const thread = 'image/compressed-image-worker.js';
  const { ports: transferList } = forWriter;
  const how = { ...options, workerData, transferList, onBytes: onRead, failed };
  await runThread(thread, planned, how);
}

interface ThreadOptions extends WriteOptions {
  workerData: ImageWork;
  transferList?: MessagePort[];
  onBytes: (bytes: number) => void;
  /** Rejects where something else fails that the thread needs. */
  failed?: Promise<never>;
}

async function runThread(
  file: string,
  planned: PlannedImage,
  { workerData, transferList = [], failed, ...options }: ThreadOptions,
): Promise<Record<string, string>> {
  options.signal.throwIfAborted();
  const worker = new Worker(programUrl(file), {
    workerData,
    transferList,
    env: {},
    // A thread takes over the flags of the program it is used in, and dies of some (`--input-type`).
    execArgv: [],
  });
  try {
    const digests = await writeInTime(options, () =>
      Promise.race([answerOf(worker, options), ...(failed ? [failed] : [])]),
    );
    await writeInTime(options, () => assertUnchanged(planned));
    return digests;
  } finally {
    await endWorker(worker);
  }
}

function answerOf(
  worker: Worker,
  { path, onBytes }: Pick<ThreadOptions, 'path' | 'onBytes'>,
): Promise<Record<string, string>> {
  return new Promise((resolve, reject) => {
    worker.on('error', (error) => reject(writeFailure(path, messageOf(error))));
    worker.on('exit', () => reject(writeFailure(path, 'its thread has ended')));
    worker.on('message', (answer: ImageAnswer) => {
      if (answer.kind === 'done') resolve(answer.digests);
      else if (answer.kind === 'failed') reject(writeFailure(path, answer.message, answer.code));
      else onBytes(answer.bytes);
    });
  });
}
