// Writes a stream of unknown length into a sparse file, and stops at its limit and at the reserve.
import { type FileHandle, open, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';
import { hasCode, PublishError, type Step } from '../../../core/errors.ts';
import { formatBytes } from '../../../core/format-bytes.ts';
import type { Reserve } from '../../../domain/space.ts';
import { OWNERS_ONLY } from '../../../host/files/private-file.ts';
import { RangeWriter } from '../../../transfer/download/pull-writer.ts';

export interface Bounds {
  step: Step;
  maxBytes: number;
  reserve: Reserve;
  signal: AbortSignal;
  /** Bytes so far. */
  onProgress?: (bytes: number) => void;
}

/** Bytes written between two checks of the free space. */
const LOOK_EVERY_BYTES = 64 * 1024 * 1024;

/**
 * Writes `source` as the new file `path`; runs of zeros become holes. Returns the size of the file.
 * @throws IMAGE_REFUSED beyond `maxBytes`, NO_SPACE before the reserve is touched and on a full file
 * system, what the stream fails with. The partial file is the caller's to remove.
 */
export async function writeBounded(
  source: Readable,
  path: string,
  bounds: Bounds,
): Promise<number> {
  const { maxBytes, signal, step } = bounds;
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'wx', OWNERS_ONLY);
    const writer = new RangeWriter(file, 0);
    let looked = Number.NEGATIVE_INFINITY;
    for await (const chunk of source as AsyncIterable<Uint8Array>) {
      signal.throwIfAborted();
      if (writer.at + chunk.byteLength > maxBytes) throw tooLarge(maxBytes, step);
      if (writer.at - looked >= LOOK_EVERY_BYTES) {
        looked = writer.at;
        await keepReserve(dirname(path), bounds);
      }
      writer.take(chunk);
      bounds.onProgress?.(writer.at);
    }
    signal.throwIfAborted();
    await file.truncate(writer.at);
    return writer.at;
  } catch (error) {
    throw hasCode(error, 'ENOSPC', 'EDQUOT') ? full(path, step, error) : error;
  } finally {
    source.destroy();
    await file?.close();
  }
}

const MORE_SPACE = 'free some space, or name another directory with --work-dir';

// NOTE: a file system that runs full pauses every guest that lives on it.
async function keepReserve(directory: string, { reserve, step }: Bounds): Promise<void> {
  const { bavail, blocks, bsize } = await statfs(directory);
  const kept = Math.max(reserve.minBytes, Math.ceil(blocks * bsize * reserve.fraction));
  if (bavail * bsize - LOOK_EVERY_BYTES >= kept) return;
  const message = `too little free space in ${directory}: the image would take the reserve of ${formatBytes(kept)}`;
  throw new PublishError('NO_SPACE', message, { step, hint: MORE_SPACE });
}

function full(path: string, step: Step, cause: unknown): PublishError {
  const message = `writing ${path} failed: no space left on the file system`;
  return new PublishError('NO_SPACE', message, { step, cause, hint: MORE_SPACE });
}

export function tooLarge(maxBytes: number, step: Step): PublishError {
  const message = `the image has more than the ${formatBytes(maxBytes)} allowed`;
  return new PublishError('IMAGE_REFUSED', message, { step, hint: 'raise --max-size' });
}
