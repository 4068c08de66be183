// The lines of a catalog checkpoint: a gzip file with one record a line, in the order of the ids.
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { isImageId } from '../record/names.ts';
import { MAX_RECORD_BYTES } from '../record/records.ts';

/** The first line. Raised if older programs must not read the others. */
export const HEADER = JSON.stringify({ format_version: 1 });

/** One record: the exact bytes of the object `images/<id>/record/<version>.json`, as text. */
export interface CheckpointLine {
  id: string;
  version: number;
  record: string;
}

/** JSON escapes a character by six at most; this package writes no longer line. */
const MAX_LINE = 6 * MAX_RECORD_BYTES + 256;
/** Most bytes of all lines, unpacked: some 500,000 records. A larger file is an attack. */
const MAX_TEXT = 1024 ** 3;
const CHUNK_BYTES = 256 * 1024;

/**
 * Yields the lines of the packed file, some at once; destroys `packed` at the end.
 * @throws Error if the file is damaged, of another format, too large, or cannot be read
 */
export async function* readLines(packed: Readable): AsyncGenerator<string[]> {
  const text = createGunzip({ chunkSize: CHUNK_BYTES }).setEncoding('utf8');
  // Its error is raised by the loop.
  pipeline(packed, text, () => undefined);
  let rest = '';
  let size = 0;
  let isFirst = true;
  try {
    for await (const chunk of text as AsyncIterable<string>) {
      size += chunk.length;
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > MAX_LINE || size > MAX_TEXT) throw new Error('it is too large');
      if (isFirst && lines.length > 0) {
        if (lines.shift() !== HEADER) throw new Error('it has another format');
        isFirst = false;
      }
      if (lines.length > 0) yield lines;
    }
  } finally {
    text.destroy();
    packed.destroy();
  }
}

export function formatLine({ id, version, record }: CheckpointLine): string {
  return JSON.stringify({ id, version, record });
}

/** @throws Error if the line is none */
export function parseLine(line: string): CheckpointLine {
  const { id, version, record } = (JSON.parse(line) ?? {}) as Partial<CheckpointLine>;
  const isLine = typeof id === 'string' && isImageId(id) && typeof record === 'string';
  if (isLine && typeof version === 'number') return { id, version, record };
  throw new Error('it has a line that is no record');
}
