// One multipart upload in a directory: parts written in place into one file, linked when it is whole.
import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, lstat, unlink } from 'node:fs/promises';
import { throwIfInterrupted } from '../../core/deadline.ts';
import { PublishError } from '../../core/errors.ts';
import { fileError, orMissing, parseJson } from '../../host/files/file-errors.ts';
import { readAtMost } from '../../host/files/own-file.ts';
import { reachEnd, writeSparse } from '../../host/io/sparse-write.ts';
import type { CallOptions, ObjectInfo } from '../object-info.ts';
import type { PartBody, PartInfo, PartUpload } from '../object-store.ts';
import { linkInto, md5OfRange, UPLOADS_FOLDER } from './files.ts';
import { withFolder } from './folder.ts';
import type { RegistryFolder } from './owner.ts';
import {
  createUploadFiles,
  reopenUploadFiles,
  type UploadFiles,
  type UploadNames,
  uploadNames,
} from './upload-files.ts';

interface WrittenPart extends PartInfo {
  start: number;
}

const MAX_NOTE_BYTES = 64 * 1024 * 1024;

/** Writes down what the upload is for, and makes its empty files; durable when it resolves. */
export async function startDirectoryUpload(root: string, key: string): Promise<DirectoryUpload> {
  const uploadId = randomUUID();
  const files = await createUploadFiles(root, key, uploadNames(uploadId));
  return new DirectoryUpload({ root, key, uploadId, files });
}

export class DirectoryUpload implements PartUpload {
  readonly key: string;
  readonly uploadId: string;
  readonly #root: string;
  readonly #names: UploadNames;
  /** Undefined before they are asked for, of an upload that an earlier process began. */
  #files: Promise<UploadFiles | undefined> | undefined;

  constructor(upload: { root: string; key: string; uploadId: string; files?: UploadFiles }) {
    this.key = upload.key;
    this.uploadId = upload.uploadId;
    this.#root = upload.root;
    this.#names = uploadNames(upload.uploadId);
    if (upload.files !== undefined) this.#files = Promise.resolve(upload.files);
  }

  async putPart(number: number, body: PartBody, options: CallOptions = {}): Promise<PartInfo> {
    return this.#do(`writing part ${number} of ${this.key}`, options, async () => {
      const { data, parts } = await this.#opened();
      const md5 = await this.#write(data, body, options.signal);
      if (md5 !== undefined && md5 !== body.md5) {
        const message = `part ${number} of ${this.key} was stored as other bytes than were sent`;
        throw new PublishError('INTEGRITY', message, { step: 'upload', retryable: true });
      }
      const part = { number, size: body.length, etag: md5 ?? null, start: body.start };
      await parts.write(`${JSON.stringify(part)}\n`);
      return { number, size: part.size, etag: part.etag };
    });
  }

  async complete(parts: readonly PartInfo[], options: CallOptions = {}): Promise<ObjectInfo> {
    return this.#do(`completing the upload of ${this.key}`, options, async () => {
      const { folder, data } = await this.#opened();
      const size = checkParts(this.key, parts, await this.#written());
      await data.truncate(size);
      await data.sync();
      await linkInto(this.#root, { file: data, path: folder.at(this.#names.data) }, this.key);
      const { mtime } = await data.stat();
      await this.#removeFiles();
      return { key: this.key, size, etag: null, lastModified: mtime };
    });
  }

  async abort(options: CallOptions = {}): Promise<void> {
    await this.#do(`aborting the upload of ${this.key}`, options, () => this.#removeFiles());
  }

  async listParts(options: CallOptions = {}): Promise<PartInfo[]> {
    return this.#do(`listing the parts of ${this.key}`, options, async () => {
      const files = await this.#open();
      if (files === undefined) return [];
      const parts = [...(await this.#written()).values()].sort((a, b) => a.number - b.number);
      const listed: PartInfo[] = [];
      for (const { number, size, etag, start } of parts) {
        const range = { start, length: size };
        const md5 = etag ?? (await md5OfRange(files.data, range, options.signal));
        listed.push({ number, size, etag: md5 });
      }
      return listed;
    });
  }

  async touchedAt(options: CallOptions = {}): Promise<Date | null> {
    return this.#do(`looking at the upload of ${this.key}`, options, async () => {
      const facts = await this.#inUploads((folder) =>
        orMissing(lstat(folder.at(this.#names.data))),
      );
      return facts?.mtime ?? null;
    });
  }

  /** Writes the part at its place; returns its md5 if one was given to compare with. */
  async #write(
    data: FileHandle,
    body: PartBody,
    signal: AbortSignal | undefined,
  ): Promise<string | undefined> {
    const hash = body.md5 === undefined ? undefined : createHash('md5');
    let at = 0;
    for await (const chunk of body.open() as AsyncIterable<Uint8Array>) {
      throwIfInterrupted(signal, 'upload');
      hash?.update(chunk);
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      await writeSparse(data, bytes, body.start + at);
      at += chunk.byteLength;
    }
    // `md5OfRange` does not include a hole behind the end of the file.
    await reachEnd(data, body.start + at);
    if (at === body.length) return hash?.digest('hex');
    const message = `a part of ${this.key} ended after ${at} of its ${body.length} bytes`;
    throw new PublishError('UPLOAD', message, { step: 'upload' });
  }

  /** The last note about each part wins, as in a bucket. A line cut short by a crash is no part. */
  async #written(): Promise<Map<number, WrittenPart>> {
    const { parts: file } = await this.#opened();
    const text = (await readAtMost(file, MAX_NOTE_BYTES))?.toString('utf8') ?? '';
    const parts = text.split('\n').map((line) => parseJson(line) as WrittenPart | undefined);
    return new Map(parts.flatMap((part) => (part === undefined ? [] : [[part.number, part]])));
  }

  /** Removes the id file first, so that no upload is listed without its data. */
  async #removeFiles(): Promise<void> {
    const { about, parts, data } = this.#names;
    await this.#inUploads(async (folder) => {
      for (const name of [about, `${about}.new`, parts, data]) {
        await orMissing(unlink(folder.at(name)));
      }
    });
    const files = await this.#files?.catch(() => undefined);
    this.#files = undefined;
    for (const file of [files?.data, files?.parts, files?.folder.handle]) await file?.close();
  }

  #inUploads<T>(work: (folder: RegistryFolder) => Promise<T>): Promise<T | undefined> {
    return withFolder(this.#root, UPLOADS_FOLDER, { forWriting: false }, work);
  }

  async #opened(): Promise<UploadFiles> {
    const files = await this.#open();
    if (files !== undefined) return files;
    const message = `the upload of ${this.key} does not exist any more`;
    throw new PublishError('UPLOAD', message, { step: 'upload', hint: 'publish the image again' });
  }

  #open(): Promise<UploadFiles | undefined> {
    this.#files ??= reopenUploadFiles(this.#root, this.#names);
    return this.#files;
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

/** The size of the object these parts make. @throws UPLOAD if they do not make one. */
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
      const message = `part ${number} of ${key} is missing, or is not the one that was sent`;
      throw new PublishError('UPLOAD', message, { step: 'upload' });
    }
    size += part.size;
  }
  return size;
}
