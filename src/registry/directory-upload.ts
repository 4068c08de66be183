// One multipart upload in a directory: parts written in place into one file, linked when it is whole.
import { createHash } from 'node:crypto';
import { open, readdir, readFile, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { PublishError } from '../errors.ts';
import { reachEnd, writeSparse } from '../files/sparse-write.ts';
import { throwIfInterrupted } from './deadline.ts';
import {
  FILE_MODE,
  linkInto,
  makeFolder,
  md5OfRange,
  syncFolder,
  uploadPaths,
  withFile,
} from './directory-files.ts';
import { byBytes } from './directory-walk.ts';
import { fileError, orMissing, parseJson } from './file-errors.ts';
import type {
  CallOptions,
  ObjectInfo,
  OpenUpload,
  PartBody,
  PartInfo,
  PartUpload,
} from './object-store.ts';

interface WrittenPart extends PartInfo {
  start: number;
}

/** Writes down what the upload is for, and makes its empty file; durable when it returns. */
export async function startDirectoryUpload(root: string, key: string, id: string): Promise<void> {
  const paths = uploadPaths(root, id);
  await makeFolder(root, paths.folder);
  const file = await open(paths.data, 'wx', FILE_MODE);
  await withFile(file, () => file.sync());
  const about = JSON.stringify({ key, started_at: new Date().toISOString() });
  await writeFile(`${paths.about}.new`, about, { flag: 'wx', mode: FILE_MODE, flush: true });
  await rename(`${paths.about}.new`, paths.about);
  await syncFolder(paths.folder);
}

/** The uploads whose key starts with `prefix`, by key. */
export async function readUploads(root: string, prefix: string): Promise<OpenUpload[]> {
  const names = (await orMissing(readdir(uploadPaths(root, '').folder))) ?? [];
  const found: OpenUpload[] = [];
  for (const name of names.filter((each) => each.endsWith('.json'))) {
    const uploadId = basename(name, '.json');
    const about = await readUploadKey(root, uploadId);
    if (about?.key.startsWith(prefix)) found.push({ ...about, uploadId });
  }
  return found.sort((a, b) => byBytes(a.key, b.key));
}

/** What an upload is for; `undefined` where it is gone or its note cannot be understood. */
async function readUploadKey(
  root: string,
  id: string,
): Promise<{ key: string; startedAt: Date | null } | undefined> {
  const text = await orMissing(readFile(uploadPaths(root, id).about, 'utf8'));
  if (text === undefined) return undefined;
  const about = parseJson(text) as { key?: unknown; started_at?: unknown } | null | undefined;
  const { key, started_at } = about ?? {};
  if (typeof key !== 'string') return undefined;
  return { key, startedAt: typeof started_at === 'string' ? new Date(started_at) : null };
}

export class DirectoryUpload implements PartUpload {
  readonly key: string;
  readonly uploadId: string;
  readonly #root: string;
  readonly #path: string;
  readonly #paths: ReturnType<typeof uploadPaths>;

  constructor(upload: { root: string; key: string; path: string; uploadId: string }) {
    this.key = upload.key;
    this.uploadId = upload.uploadId;
    this.#root = upload.root;
    this.#path = upload.path;
    this.#paths = uploadPaths(upload.root, upload.uploadId);
  }

  async putPart(number: number, body: PartBody, options: CallOptions = {}): Promise<PartInfo> {
    return this.#do(`Writing part ${number} of ${this.key}`, options, async () => {
      const md5 = await this.#write(body, options.signal);
      if (md5 !== undefined && md5 !== body.md5) {
        const message = `Part ${number} of ${this.key} arrived as other bytes than were sent.`;
        throw new PublishError('INTEGRITY', message, { step: 'upload', retryable: true });
      }
      const part = { number, size: body.length, etag: md5 ?? null, start: body.start };
      await writeFile(this.#paths.parts, `${JSON.stringify(part)}\n`, {
        flag: 'a',
        mode: FILE_MODE,
      });
      return { number, size: part.size, etag: part.etag };
    });
  }

  async complete(parts: readonly PartInfo[], options: CallOptions = {}): Promise<ObjectInfo> {
    return this.#do(`Completing the upload of ${this.key}`, options, async () => {
      const size = checkParts(this.key, parts, await this.#written());
      const file = await open(this.#paths.data, 'r+');
      await withFile(file, async () => {
        await file.truncate(size);
        await file.sync();
      });
      await linkInto(this.#root, this.#paths.data, this.#path);
      await this.#removeFiles();
      const { mtime } = await stat(this.#path);
      return { key: this.key, size, etag: null, lastModified: mtime };
    });
  }

  async abort(options: CallOptions = {}): Promise<void> {
    await this.#do(`Aborting the upload of ${this.key}`, options, () => this.#removeFiles());
  }

  async listParts(options: CallOptions = {}): Promise<PartInfo[]> {
    return this.#do(`Listing the parts of ${this.key}`, options, async () => {
      const parts = [...(await this.#written()).values()].sort((a, b) => a.number - b.number);
      const listed: PartInfo[] = [];
      for (const { number, size, etag, start } of parts) {
        const range = { start, length: size };
        const md5 = etag ?? (await md5OfRange(this.#paths.data, range, options.signal));
        listed.push({ number, size, etag: md5 });
      }
      return listed;
    });
  }

  async touchedAt(options: CallOptions = {}): Promise<Date | null> {
    return this.#do(`Looking at the upload of ${this.key}`, options, async () => {
      return (await orMissing(stat(this.#paths.data)))?.mtime ?? null;
    });
  }

  /** Writes the part where it belongs; its md5, if one was given to compare with. */
  async #write(body: PartBody, signal: AbortSignal | undefined): Promise<string | undefined> {
    const hash = body.md5 === undefined ? undefined : createHash('md5');
    const file = await open(this.#paths.data, 'r+');
    return withFile(file, async () => {
      let at = 0;
      for await (const chunk of body.open() as AsyncIterable<Uint8Array>) {
        throwIfInterrupted(signal, 'upload');
        hash?.update(chunk);
        const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
        await writeSparse(file, bytes, body.start + at);
        at += chunk.byteLength;
      }
      // Of a hole behind the end of the file `md5OfRange` has nothing.
      await reachEnd(file, body.start + at);
      if (at === body.length) return hash?.digest('hex');
      const message = `A part of ${this.key} ended after ${at} of its ${body.length} bytes.`;
      throw new PublishError('UPLOAD', message, { step: 'upload' });
    });
  }

  /** The last note about each part wins, as in a bucket. A line cut short by a crash is no part. */
  async #written(): Promise<Map<number, WrittenPart>> {
    const text = (await orMissing(readFile(this.#paths.parts, 'utf8'))) ?? '';
    const parts = text.split('\n').map((line) => parseJson(line) as WrittenPart | undefined);
    return new Map(parts.flatMap((part) => (part === undefined ? [] : [[part.number, part]])));
  }

  /** What makes it an upload goes first, so that none is listed without its data. */
  async #removeFiles(): Promise<void> {
    const { about, parts, data } = this.#paths;
    for (const path of [about, `${about}.new`, parts, data]) await orMissing(unlink(path));
  }

  async #do<T>(doing: string, { signal }: CallOptions, work: () => Promise<T>): Promise<T> {
    throwIfInterrupted(signal, 'upload');
    try {
      return await work();
    } catch (error) {
      throw fileError(error, doing, 'upload');
    }
  }
}

/** The size of the object these parts make. @throws UPLOAD where they do not make one. */
function checkParts(
  key: string,
  parts: readonly PartInfo[],
  written: ReadonlyMap<number, WrittenPart>,
): number {
  let size = 0;
  for (const { number, etag } of parts) {
    const part = written.get(number);
    const isOther = part?.etag !== null && part?.etag !== etag;
    if (part === undefined || part.start !== size || isOther) {
      const message = `Part ${number} of ${key} is missing or is not the one that was sent.`;
      throw new PublishError('UPLOAD', message, { step: 'upload' });
    }
    size += part.size;
  }
  return size;
}
