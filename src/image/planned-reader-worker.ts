// The thread that makes any range of a flat image's bytes, of which there is no file, in memory that it shares with whoever asks.
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

/** Bytes `start` to `end` of the image are to be in `memory` from its byte `offset`. */
export interface ReadRequest {
  id: number;
  memory: SharedArrayBuffer;
  offset: number;
  start: number;
  end: number;
}

/** Ends the thread when what it reads is read; what waits for its turn fails. */
export type Farewell = 'close';

/** `bytes`: fewer than were wanted where the image ends. */
export type ReadAnswer = { id: number; bytes: number } | { id: number; error: string };

/** What is read at a time. */
const PIECE_BYTES = 2 * 1024 * 1024;
/**
 * NOTE: reads wait in Node's thread pool, whose four threads are the whole process's. Storage that
 * hangs must leave it one: for its journal, and for the names of hosts.
 */
const AT_ONCE = 3;

/** Leave to read a piece, and memory for one that cannot be read where it belongs. */
class Turn {
  #spare: Buffer | undefined;

  get spare(): Buffer {
    const [memory = new Uint8Array()] = this.#spare ? [] : alignedMemory(PIECE_BYTES, 1);
    this.#spare ??= Buffer.from(memory.buffer, memory.byteOffset, memory.byteLength);
    return this.#spare;
  }
}

const { layers, ...disk } = workerData as PlannedReaderWork;
const layout = new Qcow2Layout(disk);
// Its failure is every request's.
const chain = ignoreRejection(ChainReader.open(layers));
const free = Array.from({ length: AT_ONCE }, () => new Turn());
const waiting: ((turn: Turn) => void)[] = [];

const underWay = new Set<Promise<void>>();
let isClosed = false;

parentPort?.on('message', async (request: ReadRequest | Farewell) => {
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
    pieces.push(inTurn((turn) => fillPiece(piece, from, turn)));
    at = next;
  }
  // The memory belongs to whoever asked as soon as there is an answer.
  const ends = await Promise.allSettled(pieces);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  return Math.max(0, until - start);
}

async function inTurn(work: (turn: Turn) => Promise<void>): Promise<void> {
  const turn = free.pop() ?? (await new Promise<Turn>((resolve) => waiting.push(resolve)));
  try {
    if (isClosed) throw new Error('it was given up');
    await work(turn);
  } finally {
    const next = waiting.shift();
    if (next) next(turn);
    else free.push(turn);
  }
}

/**
 * Any bytes of the image, as long as they lie between two multiples of `PIECE_BYTES`.
 * NOTE: tables are made in whole clusters; and one direct read into memory that does not begin at a
 * block would have the layer read through the page cache ever after.
 */
async function fillPiece(piece: Buffer, start: number, turn: Turn): Promise<void> {
  const parts = { chain: await chain, layout };
  const end = start + piece.byteLength;
  const isWhole = start % CLUSTER === 0 && end % CLUSTER === 0;
  if (isWhole && piece.byteOffset % BLOCK === 0) return fillImage(piece, start, parts);
  const from = start - (start % CLUSTER);
  const wide = turn.spare.subarray(0, Math.ceil(end / CLUSTER) * CLUSTER - from);
  await fillImage(wide, from, parts);
  wide.copy(piece, 0, start - from);
}
