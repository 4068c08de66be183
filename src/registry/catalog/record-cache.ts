// Record versions that were read before: a courtesy on disk that nothing depends on.
import { createHash, randomUUID } from 'node:crypto';
import { readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { makeFolders, PRIVATE } from '../../host/files/own-folders.ts';
import { examineRecord } from '../record/check-record.ts';
import type { ImageRecord } from '../record/image.ts';
import { type CacheReserve, hasRoom, readOwnFile, removeAllBut } from './cache-files.ts';

/** A record as it was read, with what tells that the stored bytes are still the same. */
export interface CachedRecord {
  stamp: string;
  record: ImageRecord;
}

/** Raised with any change of what is in a file; others are ignored. */
const FORMAT = 2;
/** Of 256: there are about a thousand images. */
const LARGE_FILES = 250;
/** Of one file: 128 MiB of one registry. Images whose records take more are read each time. */
const MAX_FILE_BYTES = 512 * 1024;
/** So many registries have a cache; one more, and that which was written to longest ago goes. */
const MAX_REGISTRIES = 16;
/** Temporary files of writers that are at work just now. */
const MAX_TEMPORARY = 16;

const FILE = /^[0-9a-f]{2}\.records$/;
const TEMPORARY = /^[0-9a-f]{2}\.records\.[0-9a-f-]{36}$/;
const REGISTRY = /^[0-9a-f]{32}$/;

/**
 * Files of some records each, as they were when they were found good, named by the first two digits of the images' ids. A file is replaced
 * as a whole and carries its own digest, so readers and writers need no lock: of two writers the
 * last one wins, and what the other knew is read again. Whatever is wrong with a file (missing,
 * damaged, another format, no right to read or write it, too large, one that another user could have
 * written), there is no cache then. Its size and number are bounded, and nothing is written that
 * would touch the reserve of its file system.
 *
 * NOTE: files of some ten KiB, read and written at once: by way of the thread pool 256 of them took
 * longer than all else that a second listing does.
 */
export class RecordCache {
  readonly #folder: string;
  readonly #reserve: CacheReserve;
  #isWritable = true;
  #isTrimmed = false;

  constructor(folder: string, reserve: CacheReserve) {
    this.#folder = folder;
    this.#reserve = reserve;
  }

  /** What is known of the images whose ids begin with `shard`. */
  read(shard: string): Map<string, CachedRecord> {
    try {
      return parseShard(readOwnFile(this.#path(shard), MAX_FILE_BYTES));
    } catch (error) {
      if (error instanceof Error) return new Map();
      throw error;
    }
  }

  /** Whether there were so many images, when last seen, that they fill nearly every file. */
  isLarge(): boolean {
    try {
      return readdirSync(this.#folder).filter((name) => FILE.test(name)).length >= LARGE_FILES;
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
      const text = formatShard(records);
      if (Buffer.byteLength(text) > MAX_FILE_BYTES) {
        this.#clear(path);
        return;
      }
      makeFolders(this.#folder, PRIVATE);
      this.#trim();
      this.#isWritable = hasRoom(this.#folder, text.length, this.#reserve);
      if (!this.#isWritable) return;
      writeFileSync(temporary, text, { flag: 'wx', mode: 0o600 });
      renameSync(temporary, path);
    } catch {
      this.#isWritable = false;
      this.#clear(temporary);
    }
  }

  /** Once: what writers that were killed left, and caches of registries that nobody lists any more. */
  #trim(): void {
    if (this.#isTrimmed) return;
    this.#isTrimmed = true;
    const [all, own] = [dirname(this.#folder), basename(this.#folder)];
    removeAllBut(this.#folder, (name) => TEMPORARY.test(name), MAX_TEMPORARY);
    removeAllBut(all, (name) => REGISTRY.test(name) && name !== own, MAX_REGISTRIES - 1);
  }

  #clear(path: string): void {
    try {
      rmSync(path, { force: true });
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
  if (text.slice(0, at) !== `${FORMAT} ${digest(body)}`) throw notOurs();
  const records = JSON.parse(body) as CachedRecord[];
  return new Map(records.map((cached) => [cached.record.id, checked(cached)]));
}

/** GuestHoldControl against the rules of a record, and against the version that its stamp is of. */
function checked({ stamp, record }: CachedRecord): CachedRecord {
  const examined = examineRecord(record);
  if (examined.problem !== undefined) throw notOurs();
  if (!stamp.startsWith(`${examined.record.version} `)) throw notOurs();
  return { stamp, record: examined.record };
}

function notOurs(): Error {
  return new Error('not a cache of ours');
}

function digest(body: string): string {
  return createHash('sha256').update(body).digest('hex');
}
