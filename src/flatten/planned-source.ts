// An image that needs no file: its bytes are made, range by range, from its plan and its layers.
import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { alignedSharedMemory } from '../files/direct-file.ts';
import { writeAll } from '../files/direct-target.ts';
import { type PlannedImage, refuseChanged } from './plan-image.ts';
import { PlannedReader } from './planned-reader.ts';
import { Qcow2Layout } from './qcow2-layout.ts';
import { writeFailureOf } from './write-failure.ts';

/** Reads ranges of an image, several at a time. */
export interface RangeReader {
  /**
   * Fills `memory` with bytes `start` to `end`, `end - start <= memory.byteLength`; resolves to the
   * bytes read. Several may be under way.
   */
  read(memory: Uint8Array, start: number, end: number): Promise<number>;
  close(): Promise<void>;
}

export interface PlannedSource {
  /** Bytes. */
  readonly size: number;
  /** Bytes `start` (included) to `end` (not included), from anew on each call. */
  open(start: number, end: number): Readable;
  reader(): RangeReader;
  /** @throws PublishError INTEGRITY where a layer is no longer what was planned with. */
  checkUnchanged(): Promise<void>;
}

const STREAM_BYTES = 8 * 1024 * 1024;
const CHUNK_BYTES = 2 * 1024 * 1024;
const TABLES_BYTES = 2 * 1024 * 1024;
const OWNERS_ONLY = 0o600;

/**
 * The same bytes as `writeImage` writes where nothing is kept (`kept: 0`): of the same layers, always
 * the same ones.
 */
export function plannedSource(planned: PlannedImage): PlannedSource {
  const reader = () => new PlannedReader(planned);
  return {
    size: new Qcow2Layout(planned, 0).size,
    open: (start, end) => streamOf(reader(), start, end),
    reader,
    checkUnchanged: () => refuseChanged({ ...planned, kept: 0 }, 'upload'),
  };
}

/**
 * Writes a file with the image's header and tables and with holes for its data, for `qemu-img check`:
 * it judges the tables alone.
 * @throws PublishError NO_SPACE, QEMU_IMG; the signal's reason.
 */
export async function writeTables(
  planned: PlannedImage,
  path: string,
  signal?: AbortSignal,
): Promise<void> {
  const layout = new Qcow2Layout(planned, 0);
  try {
    const file = await open(path, 'w', OWNERS_ONLY);
    try {
      for (let at = 0; at < layout.dataAt; at += TABLES_BYTES) {
        signal?.throwIfAborted();
        const tables = Buffer.alloc(Math.min(TABLES_BYTES, layout.dataAt - at));
        layout.fillTables(tables, at);
        await writeAll(file, tables, at);
      }
      await file.truncate(layout.size);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw writeFailureOf(path, error);
  }
}

/** Its chunks are the consumer's to keep. */
function streamOf(reader: RangeReader, start: number, end: number): Readable {
  const memory = new Uint8Array(alignedSharedMemory(Math.min(STREAM_BYTES, end - start)));
  let at = start;
  return new Readable({
    highWaterMark: CHUNK_BYTES,
    read() {
      const fill = async () => {
        const bytes = await reader.read(memory, at, Math.min(at + memory.byteLength, end));
        at += bytes;
        // Copied: the memory is filled again, and shared.
        const read = memory.slice(0, bytes);
        for (let from = 0; from < bytes; from += CHUNK_BYTES)
          this.push(read.subarray(from, from + CHUNK_BYTES));
        if (bytes === 0) this.push(null);
      };
      fill().catch((error: Error) => this.destroy(error));
    },
    destroy(error, done) {
      reader.close().then(() => done(error), done);
    },
  });
}
