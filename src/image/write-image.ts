// Writes a flat qcow2 in one pass, in a thread, from a chain whose data lies at known offsets.
import { Worker } from 'node:worker_threads';
import { endWorker } from '../core/end-worker.ts';
import { messageOf } from '../core/errors.ts';
import { programUrl } from '../core/package-files.ts';
import type { TimeLimits } from '../core/time-limit.ts';
import { writeFailure, writeInTime } from '../qemu/write-failure.ts';
import type { PlainImageWork } from './image-worker.ts';
import { assertUnchanged, layerFiles, type PlannedImage } from './plan/plan-image.ts';
import type { ImageAnswer, ImageWork } from './qcow2/image-thread.ts';
import { shareLayers } from './share-data.ts';

interface WriteOptions extends TimeLimits {
  path: string;
}

export interface WriteImageOptions extends WriteOptions {
  /** Names of the digests to compute, sha256 among them. */
  algorithms: readonly string[];
  /** Called with the number of leading bytes of the file that are final. */
  onSettled: (bytes: number) => void;
}

export interface WriteCompressedOptions extends WriteOptions {
  /** Called with the bytes of the data that are in the file. */
  onRead: (bytes: number) => void;
}

/**
 * Writes the image and returns its digests in hex, by algorithm, when it is on the disk.
 * @throws PublishError NO_SPACE, QEMU_IMG; INTEGRITY if a layer was changed meanwhile; the signal's
 * reason.
 */
export async function writeImage(
  planned: PlannedImage,
  { algorithms, onSettled, ...options }: WriteImageOptions,
): Promise<Record<string, string>> {
  const { path } = options;
  options.signal.throwIfAborted();
  // A file that shares blocks has its full length from the start, but none of it is settled yet.
  onSettled(0);
  const isShared = await writeInTime(options, (signal) => shareLayers(planned, path, signal));
  const { extents, virtualSize } = planned;
  const layers = layerFiles(planned);
  const workerData: PlainImageWork = { layers, extents, virtualSize, path, algorithms, isShared };
  return runThread('image/image-worker.js', planned, {
    ...options,
    workerData,
    onBytes: onSettled,
  });
}

/**
 * Writes the same image compressed with zstd. It returns no digests: the tables lie at the start of the
 * file and are known at the end.
 * @throws PublishError as `writeImage`.
 */
export async function writeCompressedImage(
  planned: PlannedImage,
  { onRead, ...options }: WriteCompressedOptions,
): Promise<void> {
  const { extents, virtualSize } = planned;
  const layers = layerFiles(planned);
  const { path } = options;
  const workerData: ImageWork = { layers, extents, virtualSize, path, isShared: false };
  const thread = 'image/compressed-image-worker.js';
  await runThread(thread, planned, { ...options, workerData, onBytes: onRead });
}

interface ThreadOptions extends WriteOptions {
  workerData: ImageWork;
  onBytes: (bytes: number) => void;
}

async function runThread(
  file: string,
  planned: PlannedImage,
  { workerData, ...options }: ThreadOptions,
): Promise<Record<string, string>> {
  options.signal.throwIfAborted();
  const worker = new Worker(programUrl(file), {
    workerData,
    env: {},
    // A thread inherits the flags of its process and fails on some of them (`--input-type`).
    execArgv: [],
  });
  try {
    const digests = await writeInTime(options, () => answerOf(worker, options));
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
    worker.on('exit', () => reject(writeFailure(path, 'its thread ended early')));
    worker.on('message', (answer: ImageAnswer) => {
      if (answer.kind === 'done') resolve(answer.digests);
      else if (answer.kind === 'failed') reject(writeFailure(path, answer.message, answer.code));
      else onBytes(answer.bytes);
    });
  });
}
