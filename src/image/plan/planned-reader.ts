// Reads ranges of a streamed image, through a thread of its own.
import { Worker } from 'node:worker_threads';
import { endWorker } from '../../core/end-worker.ts';
import { messageOf, PublishError } from '../../core/errors.ts';
import { programUrl } from '../../core/package-files.ts';
import type {
  CloseRequest,
  PlannedReaderWork,
  ReadAnswer,
  ReadRequest,
} from '../planned-reader-worker.ts';
import { layerFiles, type PlannedImage } from './plan-image.ts';

const CLOSE: CloseRequest = 'close';

interface Waiting {
  resolve(bytes: number): void;
  reject(error: PublishError): void;
}

/** The thread starts with the first read and keeps the process alive only during a read. */
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
   * Fills `memory`, a view on a SharedArrayBuffer, with the bytes `start` to `end` of the image, and
   * returns how many these are: fewer if the image ends. Calls may overlap. It is fastest if `memory`
   * begins at a page and `start` and `end` are multiples of 64 KiB.
   * @throws PublishError UPLOAD if a layer cannot be read or the reader is closed; TypeError if the
   * memory is not shared, RangeError if it is too small.
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
   * Rejects pending reads. When it resolves, their memory is no longer written to, unless the storage
   * hangs.
   */
  async close(): Promise<void> {
    this.#fail('the reader was closed');
    if (this.#worker) await endWorker(this.#worker, CLOSE);
  }

  #start(): Worker {
    const { extents, virtualSize } = this.#planned;
    const layers = layerFiles(this.#planned);
    const workerData: PlannedReaderWork = { layers, extents, virtualSize };
    // The same options as for all threads: see write-image.ts.
    const worker = new Worker(programUrl('image/planned-reader-worker.js'), {
      workerData,
      env: {},
      execArgv: [],
    });
    worker.on('message', (answer: ReadAnswer) => this.#settle(answer));
    worker.on('error', (error) => this.#fail(messageOf(error)));
    worker.on('exit', () => this.#fail('its thread ended early'));
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
    return new PublishError('UPLOAD', `reading ${what} failed: ${reason}`, {
      ...{ step: 'upload', hint: 'check the storage of these files, then run it again' },
    });
  }
}
