// Record versions that were read before: a courtesy on disk that nothing depends on.
import { createHash, randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolders, PRIVATE } from '../files/own-folders.ts';
import type { ImageRecord } from './image.ts';

/** A record as it was read, with what tells that the stored bytes are still the same. */
export interface CachedRecord {
  stamp: string;
  record: ImageRecord;
}

/** Raised with any change of what is in a file; others are ignored. */
const FORMAT = 2;
/** Of 256: there are about a thousand images. */
const LARGE_FILES = 250;

/**
 * Files of some records each, as they were when they were found good, named by the first two digits of the images' ids. A file is replaced
 * as a whole and carries its own digest, so readers and writers need no lock: of two writers the
 * last one wins, and what the other knew is read again. Whatever is wrong with a file (missing,
 * damaged, another format, no right to read or write it), there is no cache then.
 *
 * NOTE: files of some ten KiB, read and written at once: by way of the thread pool 256 of them took
 * longer than all else that a second listing does.
 */
export class RecordCache {
  readonly #folder: string;
  #isWritable = true;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** What is known of the images whose ids begin with `shard`. */
  read(shard: string): Map<string, CachedRecord> {
    try {
      return parseShard(readFileSync(this.#path(shard), 'utf8'));
    } catch (error) {
      if (error instanceof Error) return new Map();
      throw error;
    }
  }

  /** Whether there were so many images, when last seen, that they fill nearly every file. */
  isLarge(): boolean {
    try {
      return readdirSync(this.#folder).length >= LARGE_FILES;
    } catch (error) {
      if (error instanceof Error) return false;
      throw error;
    }
  }

  write(shard: string, records: readonly CachedRecord[]): void {
    if (!this.#isWritable) return;
    const path = this.#path(shard);
    const temporary = `${path}.${randomUUID()}`;
    try {
      makeFolders(this.#folder, PRIVATE);
      writeFileSync(temporary, formatShard(records), { flag: 'wx', mode: 0o600 });
      renameSync(temporary, path);
    } catch {
      this.#isWritable = false;
      this.#clear(temporary);
    }
  }

  #clear(temporary: string): void {
    try {
      rmSync(temporary, { force: true });
    } catch {
      // It is one more file in a folder that cannot be written to.
      return;
    }
  }

  #path(shard: string): string {
    return join(this.#folder, `${shard}.records`);
  }
}

function formatShard(records: readonly CachedRecord[]): string {
  const body = JSON.stringify(records);
  return `${FORMAT} ${digest(body)}\n${body}`;
}

/** @throws Error where the text is not what was written. */
function parseShard(text: string): Map<string, CachedRecord> {
  const at = text.indexOf('\n');
  const body = text.slice(at + 1);
  if (text.slice(0, at) !== `${FORMAT} ${digest(body)}`) throw new Error('not a cache of ours');
  const records = JSON.parse(body) as CachedRecord[];
  return new Map(records.map(({ stamp, record }) => [record.id, { stamp, record }]));
}

function digest(body: string): string {
  return createHash('sha256').update(body).digest('hex');
}
