// The thread that makes ranges of a streamed image's bytes, in memory that it shares with the reader.
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../core/errors.ts';
import { ignoreRejection } from '../core/ignore-rejection.ts';
import type { DiskData } from '../domain/chain/extents.ts';
import { alignedMemory, BLOCK } from '../host/io/direct-file.ts';
import { CLUSTER } from './plan/data-runs.ts';
import { ChainReader } from './qcow2/chain-reader.ts';
import { fillImage } from './qcow2/fill-image.ts';
import type { LayerFile } from './qcow2/layer-reader.ts';
import { Qcow2Layout } from './qcow2/qcow2-layout.ts';

export interface PlannedReaderWork extends DiskData {
  /** The first one on top. */
  layers: readonly LayerFile[];
}

/** Asks for the bytes `start` to `end` of the image, in `memory` from its byte `offset`. */
export interface ReadRequest {
  id: number;
  memory: SharedArrayBuffer;
  offset: number;
  start: number;
  end: number;
}

/** Ends the thread when its current reads are done; waiting reads fail. */
export type CloseRequest = 'close';

/** `bytes` is less than the range if the image ends in it. */
export type ReadAnswer = { id: number; bytes: number } | { id: number; error: string };

/** Bytes of one read. */
const PIECE_BYTES = 2 * 1024 * 1024;
/**
 * NOTE: reads wait in Node's thread pool, whose four threads serve the whole process. Storage that hangs
 * must leave it one, for the journal and for the names of hosts.
 */
const MAX_READS = 3;

/** Permits one read, and has memory for a piece that cannot be read in place. */
class ReadSlot {
  #spare: Buffer | undefined;

  get spare(): Buffer {
    const [memory = new Uint8Array()] = this.#spare ? [] : alignedMemory(PIECE_BYTES, 1);
    this.#spare ??= Buffer.from(memory.buffer, memory.byteOffset, memory.byteLength);
    return this.#spare;
  }
}

const { layers, ...disk } = workerData as PlannedReaderWork;
const layout = new Qcow2Layout(disk);
// If it rejects, every request fails.
const chain = ignoreRejection(ChainReader.open(layers));
const free = Array.from({ length: MAX_READS }, () => new ReadSlot());
const waiting: ((slot: ReadSlot) => void)[] = [];

const underWay = new Set<Promise<void>>();
let isClosed = false;

parentPort?.on('message', async (request: ReadRequest | CloseRequest) => {
  if (request === 'close') return close();
  const answered = answer(request).then((result) => parentPort?.postMessage(result));
  underWay.add(answered);
  await answered;
  underWay.delete(answered);
});

async function close(): Promise<void> {
  isClosed = true;
  await Promise.allSettled(underWay);
  await Promise.allSettled([chain.then((each) => each.close())]);
  parentPort?.close();
}

async function answer(request: ReadRequest): Promise<ReadAnswer> {
  const { id } = request;
  try {
    return { id, bytes: await read(request) };
  } catch (error) {
    return { id, error: messageOf(error) };
  }
}

async function read({ memory, offset, start, end }: ReadRequest): Promise<number> {
  const until = Math.min(end, layout.size);
  const pieces: Promise<void>[] = [];
  for (let at = start; at < until; ) {
    const next = Math.min(until, at - (at % PIECE_BYTES) + PIECE_BYTES);
    const piece = Buffer.from(memory, offset + at - start, next - at);
    const from = at;
    pieces.push(withReadSlot((slot) => fillPiece(piece, from, slot)));
    at = next;
  }
  // After the answer the memory belongs to the reader again.
  const ends = await Promise.allSettled(pieces);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  return Math.max(0, until - start);
}

async function withReadSlot(work: (slot: ReadSlot) => Promise<void>): Promise<void> {
  const slot = free.pop() ?? (await new Promise<ReadSlot>((resolve) => waiting.push(resolve)));
  try {
    if (isClosed) throw new Error('the reader was closed');
    await work(slot);
  } finally {
    const next = waiting.shift();
    if (next) next(slot);
    else free.push(slot);
  }
}

/**
 * Fills `piece` with any bytes of the image that lie between two multiples of `PIECE_BYTES`.
 * NOTE: tables are made in whole clusters; and after one direct read into memory that does not begin at
 * a block, the layer would be read through the page cache.
 */
async function fillPiece(piece: Buffer, start: number, slot: ReadSlot): Promise<void> {
  const parts = { chain: await chain, layout };
  const end = start + piece.byteLength;
  const isWhole = start % CLUSTER === 0 && end % CLUSTER === 0;
  if (isWhole && piece.byteOffset % BLOCK === 0) return fillImage(piece, start, parts);
  const from = start - (start % CLUSTER);
  const wide = slot.spare.subarray(0, Math.ceil(end / CLUSTER) * CLUSTER - from);
  await fillImage(wide, from, parts);
  wide.copy(piece, 0, start - from);
}
