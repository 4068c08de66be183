// Reads ranges of an image that is planned and nowhere written, by a thread of its own.
import { Worker } from 'node:worker_threads';
import { endWorker } from '../../core/end-worker.ts';
import { messageOf, PublishError } from '../../core/errors.ts';
import { programUrl } from '../../core/package-files.ts';
import type {
  Farewell,
  PlannedReaderWork,
  ReadAnswer,
  ReadRequest,
} from '../planned-reader-worker.ts';
import { layerFiles, type PlannedImage } from './plan-image.ts';

/** At which the thread ends. */
const CLOSE: Farewell = 'close';

interface Waiting {
  resolve(bytes: number): void;
  reject(error: PublishError): void;
}

/**
 * The thread starts with the first read, and keeps the process alive only while one is waited for.
 */
export class PlannedReader {
  readonly #planned: PlannedImage;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #nextId = 1;
  #failure: PublishError | undefined;

  constructor(planned: PlannedImage) {
    this.#planned = planned;
  }

  /**
   * Fills `memory`, a view on a SharedArrayBuffer, with bytes `start` to `end` of the image;
   * resolves to how many these are, fewer than wanted where it ends. Several may be under way. It
   * is fastest where `memory` begins at a page and both are multiples of 64 KiB.
   * @throws PublishError UPLOAD where a layer cannot be read, or it is closed; TypeError on other
   * memory, RangeError on too little.
   */
  async read(memory: Uint8Array, start: number, end: number): Promise<number> {
    const { buffer, byteOffset: offset, byteLength } = memory;
    if (!(buffer instanceof SharedArrayBuffer)) throw new TypeError('the memory is not shared');
    if (end - start > byteLength) throw new RangeError('the memory is too small for the range');
    if (this.#failure !== undefined) throw this.#failure;
    this.#worker ??= this.#start();
    const worker = this.#worker;
    const request: ReadRequest = { id: this.#nextId, memory: buffer, offset, start, end };
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.set(request.id, { resolve, reject });
      worker.ref();
      worker.postMessage(request);
    });
  }

  /**
   * Rejects what is under way. Nothing is written into its memory any more when this resolves, but
   * where the storage hangs.
   */
  async close(): Promise<void> {
    this.#fail('it was given up');
    if (this.#worker) await endWorker(this.#worker, CLOSE);
  }

  #start(): Worker {
    const { extents, virtualSize } = this.#planned;
    const layers = layerFiles(this.#planned);
    const workerData: PlannedReaderWork = { layers, extents, virtualSize };
    // As all threads here: see write-image.ts.
    const worker = new Worker(programUrl('image/planned-reader-worker.js'), {
      workerData,
      env: {},
      execArgv: [],
    });
    worker.on('message', (answer: ReadAnswer) => this.#settle(answer));
    worker.on('error', (error) => this.#fail(messageOf(error)));
    worker.on('exit', () => this.#fail('its thread has ended'));
    return worker;
  }

  #settle(answer: ReadAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (this.#waiting.size === 0) this.#worker?.unref();
    if ('bytes' in answer) waiting?.resolve(answer.bytes);
    else waiting?.reject(this.#readFailure(answer.error));
  }

  #fail(reason: string): void {
    this.#failure ??= this.#readFailure(reason);
    for (const waiting of this.#waiting.values()) waiting.reject(this.#failure);
    this.#waiting.clear();
  }

  #readFailure(reason: string): PublishError {
    const [top, ...below] = this.#planned.layers;
    const what = below.length === 0 ? top : `${top} and the files below it`;
    return new PublishError('UPLOAD', `reading ${what} failed: ${reason}`, { step: 'upload' });
  }
}
