// The registry's store in an S3 bucket: one request for each call, errors told apart, nothing retried.
import { createHash } from 'node:crypto';
import { PassThrough, type Readable } from 'node:stream';
import { PublishError, type Step } from '../errors.ts';
import { eachBounded } from './bounded.ts';
import { interruption, withDeadline } from './deadline.ts';
import { unquote } from './etag.ts';
import {
  assertKey,
  type CallOptions,
  type CreateOptions,
  type ListOptions,
  type ObjectInfo,
  type ObjectStore,
  type OpenUpload,
  type PartUpload,
  type RangeOptions,
  SMALL_OBJECT_BYTES,
  type StoreLimits,
} from './object-store.ts';
import { createS3Client, type S3, type S3Options } from './s3-client.ts';
import { isMissingKey, s3Error } from './s3-errors.ts';
import { S3Upload } from './s3-upload.ts';

const MIB = 1024 * 1024;
const REMOVALS_AT_ONCE = 8;

/** Limits of S3 itself; the servers that speak it have the same ones. */
export const S3_LIMITS: StoreLimits = {
  minPartBytes: 5 * MIB,
  maxPartBytes: 5 * 1024 * MIB,
  maxParts: 10_000,
  maxObjectBytes: 5 * 1024 * 1024 * MIB,
};

export interface S3StoreOptions extends S3Options {
  bucket: string;
  /** Without slashes at its ends; empty for the bucket itself. */
  prefix: string;
  /** For the answer to one request, and for silence while an object is read. */
  requestMs: number;
  /** For sending one part, and for the store to put an object together. */
  partMs: number;
}

/** @throws CONFIG where an option cannot be used. No request is made. */
export async function openS3Store(options: S3StoreOptions): Promise<ObjectStore> {
  return new S3Store(await createS3Client(options), options);
}

/** One request: what the message says it was doing, its deadline, and what makes it. */
export interface S3Call {
  doing: string;
  step?: Step;
  ms?: number;
  signal?: AbortSignal | undefined;
}

export class S3Store implements ObjectStore {
  readonly url: string;
  readonly limits = S3_LIMITS;
  readonly wantsPartMd5 = true;
  readonly client: S3;
  readonly options: S3StoreOptions;
  readonly #prefix: string;

  constructor(client: S3, options: S3StoreOptions) {
    this.client = client;
    this.options = options;
    this.#prefix = options.prefix === '' ? '' : `${options.prefix}/`;
    this.url = `s3://${options.bucket}/${options.prefix}`.replace(/\/$/, '');
  }

  async checkAccess(options: CallOptions = {}): Promise<void> {
    await this.call({ doing: `opening ${this.url}`, ...options }, (abortSignal) =>
      this.client.listObjectsV2(
        { Bucket: this.options.bucket, Prefix: this.#prefix, MaxKeys: 1 },
        { abortSignal },
      ),
    );
  }

  async create(key: string, body: Uint8Array, options: CreateOptions = {}): Promise<void> {
    const input = {
      ...this.at(key),
      Body: body,
      ContentLength: body.byteLength,
      ContentMD5: createHash('md5').update(body).digest('base64'),
      ContentType: options.contentType ?? 'application/octet-stream',
      IfNoneMatch: '*',
    };
    await this.call({ doing: `storing ${key}`, signal: options.signal }, (abortSignal) =>
      this.client.putObject(input, { abortSignal }),
    );
  }

  async read(key: string, { signal }: CallOptions = {}): Promise<Uint8Array | undefined> {
    return this.call({ doing: `reading ${key}`, signal }, async (abortSignal) => {
      const { Body, ContentLength = 0 } =
        (await absent(this.client.getObject(this.at(key), { abortSignal }))) ?? {};
      if (Body === undefined) return undefined;
      if (ContentLength <= SMALL_OBJECT_BYTES) return Body.transformToByteArray();
      (Body as Readable).destroy();
      throw new PublishError(
        'INTEGRITY',
        `${key} in ${this.url} has ${ContentLength} bytes, more than such an object can have.`,
        { step: 'registry' },
      );
    });
  }

  async openRead(key: string, options: RangeOptions = {}): Promise<Readable | undefined> {
    const { start = 0, end, signal } = options;
    const whole = start === 0 && end === undefined;
    const range = whole ? {} : { Range: `bytes=${start}-${end === undefined ? '' : end - 1}` };
    const call = { doing: `reading ${key}`, signal };
    const answer = await this.call(call, (abortSignal) =>
      absent(this.client.getObject({ ...this.at(key), ...range }, { abortSignal })),
    );
    return answer?.Body === undefined ? undefined : this.#watch(answer.Body as Readable, call);
  }

  async stat(key: string, { signal }: CallOptions = {}): Promise<ObjectInfo | undefined> {
    const answer = await this.call({ doing: `looking at ${key}`, signal }, (abortSignal) =>
      absent(this.client.headObject(this.at(key), { abortSignal })),
    );
    if (answer !== undefined) {
      return objectInfo(key, answer.ContentLength, answer.ETag, answer.LastModified);
    }
    // NOTE: the answer to HEAD has no body, so 404 may also mean the bucket; LIST tells them apart.
    await this.checkAccess({ signal });
    return undefined;
  }

  async *list(
    prefix: string,
    { startAfter, signal }: ListOptions = {},
  ): AsyncGenerator<ObjectInfo> {
    let token: string | undefined;
    do {
      const input = {
        Bucket: this.options.bucket,
        Prefix: this.#prefix + prefix,
        ...(startAfter === undefined ? {} : { StartAfter: this.#prefix + startAfter }),
        ...(token === undefined ? {} : { ContinuationToken: token }),
      };
      const page = await this.call({ doing: `listing ${this.url}`, signal }, (abortSignal) =>
        this.client.listObjectsV2(input, { abortSignal }),
      );
      for (const { Key = '', Size, ETag, LastModified } of page.Contents ?? []) {
        yield objectInfo(this.#relative(Key), Size, ETag, LastModified);
      }
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  async *listFolders(prefix: string, { signal }: CallOptions = {}): AsyncGenerator<string> {
    let token: string | undefined;
    do {
      const input = {
        Bucket: this.options.bucket,
        Prefix: this.#prefix + prefix,
        Delimiter: '/',
        ...(token === undefined ? {} : { ContinuationToken: token }),
      };
      const page = await this.call({ doing: `listing ${this.url}`, signal }, (abortSignal) =>
        this.client.listObjectsV2(input, { abortSignal }),
      );
      for (const folder of page.CommonPrefixes ?? []) yield this.#relative(folder.Prefix ?? '');
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  // NOTE: one request a key: DeleteObjects needs a checksum of its body, and which one a server
  // takes (Content-MD5, CRC32) differs; the SDK offers only the newer one.
  async remove(keys: readonly string[], { signal }: CallOptions = {}): Promise<void> {
    await eachBounded(keys, REMOVALS_AT_ONCE, async (key) => {
      await this.call({ doing: `removing ${key}`, signal }, (abortSignal) =>
        absent(this.client.deleteObject(this.at(key), { abortSignal })),
      );
    });
  }

  async startUpload(key: string, options: CreateOptions = {}): Promise<PartUpload> {
    const input = {
      ...this.at(key),
      ContentType: options.contentType ?? 'application/octet-stream',
    };
    const call = { doing: `starting the upload of ${key}`, step: 'upload', ...options } as const;
    const { UploadId } = await this.call(call, (abortSignal) =>
      this.client.createMultipartUpload(input, { abortSignal }),
    );
    if (UploadId !== undefined) return new S3Upload(this, key, UploadId);
    throw new PublishError('UPLOAD', `${this.url} gave no upload id for ${key}.`, {
      step: 'upload',
    });
  }

  resumeUpload(key: string, uploadId: string): PartUpload {
    return new S3Upload(this, key, uploadId);
  }

  async *listUploads(prefix: string, { signal }: CallOptions = {}): AsyncGenerator<OpenUpload> {
    let after: UploadMarker | undefined = {};
    while (after !== undefined) {
      const page = await this.#uploadsPage(prefix, after, signal);
      for (const { Key = '', UploadId = '', Initiated } of page.Uploads ?? []) {
        yield { key: this.#relative(Key), uploadId: UploadId, startedAt: Initiated ?? null };
      }
      const { NextKeyMarker, NextUploadIdMarker } = page;
      after =
        page.IsTruncated && NextKeyMarker !== undefined
          ? {
              KeyMarker: NextKeyMarker,
              ...(NextUploadIdMarker === undefined ? {} : { UploadIdMarker: NextUploadIdMarker }),
            }
          : undefined;
    }
  }

  #uploadsPage(prefix: string, after: UploadMarker, signal: AbortSignal | undefined) {
    const input = { Bucket: this.options.bucket, Prefix: this.#prefix + prefix, ...after };
    return this.call({ doing: `listing uploads in ${this.url}`, signal }, (abortSignal) =>
      this.client.listMultipartUploads(input, { abortSignal }),
    );
  }

  /** Bucket and key of an object. @throws USAGE where the key cannot be one. */
  at(key: string): { Bucket: string; Key: string } {
    assertKey(key);
    return { Bucket: this.options.bucket, Key: this.#prefix + key };
  }

  /** Makes one request within its deadline; whatever goes wrong comes out as a PublishError. */
  async call<T>(
    { doing, signal, step = 'registry', ms = this.options.requestMs }: S3Call,
    request: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    try {
      return await withDeadline({ what: this.server, ms, step, signal }, request);
    } catch (error) {
      throw s3Error(error, { doing, step, bucket: this.options.bucket, server: this.server });
    }
  }

  get server(): string {
    return this.options.endpoint ?? 'AWS S3';
  }

  #watch(body: Readable, { doing, signal }: S3Call): Readable {
    const { requestMs, bucket } = this.options;
    const about = { doing, step: 'registry', bucket, server: this.server } as const;
    return watchBody(body, {
      signal,
      idleMs: requestMs,
      explain: (error) => s3Error(error, about),
    });
  }

  #relative(key: string): string {
    return key.slice(this.#prefix.length);
  }
}

interface UploadMarker {
  KeyMarker?: string;
  UploadIdMarker?: string;
}

interface SocketTimeout {
  setTimeout(ms: number, callback: () => void): unknown;
}

interface WatchOptions {
  signal: AbortSignal | undefined;
  idleMs: number;
  explain: (error: unknown) => PublishError;
}

/** Ends a body that has gone silent or is no longer wanted, and gives its errors the shape of ours. */
function watchBody(body: Readable & Partial<SocketTimeout>, options: WatchOptions): Readable {
  const { signal, idleMs, explain } = options;
  const out = new PassThrough({ highWaterMark: MIB });
  const onAbort = () => out.destroy(interruption(signal, 'registry'));
  const onSilence = () =>
    out.destroy(explain(Object.assign(new Error(), { name: 'TimeoutError' })));
  body.setTimeout?.(idleMs, onSilence);
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted) onAbort();
  body.once('error', (error) => out.destroy(explain(error)));
  out.once('close', () => {
    signal?.removeEventListener('abort', onAbort);
    body.destroy();
  });
  return body.pipe(out);
}

/** A request for one object, or `undefined` where the server says it is not there. */
async function absent<T>(request: Promise<T>): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    if (isMissingKey(error)) return undefined;
    throw error;
  }
}

function objectInfo(
  key: string,
  size: number | undefined,
  etag: string | undefined,
  lastModified: Date | undefined,
): ObjectInfo {
  return { key, size: size ?? 0, etag: unquote(etag), lastModified: lastModified ?? null };
}
