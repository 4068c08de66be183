// The store in an S3 bucket: one request for each call, nothing retried.
import type { Readable } from 'node:stream';
import { ignoreRejection } from '../../core/ignore-rejection.ts';
import type { CallOptions, ObjectInfo, StoreLocation } from '../object-info.ts';
import type {
  CreateOptions,
  LinkAnswer,
  ListOptions,
  ObjectStore,
  OpenUpload,
  PartUpload,
  PresignOptions,
  RangeOptions,
  ReadOptions,
  StoreLimits,
} from '../object-store.ts';
import { openAccess, type S3StoreOptions } from './access.ts';
import { noS3Answer } from './answer.ts';
import { watchBody } from './body.ts';
import { checkBucket, isBucketEmpty, listFolders, listObjectPages, listUploads } from './list.ts';
import { createObject, readObject, removeObjects, statObject } from './objects.ts';
import { absent, type S3Call, S3Requests } from './requests.ts';
import { S3Upload } from './upload.ts';

const MIB = 1024 * 1024;

/** Limits of S3 itself; the servers that speak it have the same ones. */
export const S3_LIMITS: StoreLimits = {
  minPartBytes: 5 * MIB,
  maxPartBytes: 5 * 1024 * MIB,
  maxParts: 10_000,
  maxObjectBytes: 5 * 1024 * 1024 * MIB,
};

/** @throws CONFIG if an option cannot be used. No request is made. */
export async function openS3Store(options: S3StoreOptions): Promise<ObjectStore> {
  const access = await openAccess(options);
  // A resolved setting is used like a given one.
  const { endpoint = null, caFile = null } = access;
  return new S3Store(new S3Requests(access, { ...options, endpoint, caFile }));
}

export class S3Store implements ObjectStore {
  readonly url: string;
  readonly limits = S3_LIMITS;
  readonly wantsPartMd5 = true;
  readonly location: StoreLocation;
  readonly #s3: S3Requests;

  constructor(s3: S3Requests) {
    this.#s3 = s3;
    this.url = s3.url;
    const { bucket, endpoint, profile } = s3.options;
    // A profile may name a server of its own.
    const server = endpoint ?? `S3 ${profile ?? ''}`;
    this.location = { server, bucket, prefix: s3.prefix };
  }

  checkAccess(options: CallOptions = {}): Promise<void> {
    return checkBucket(this.#s3, options);
  }

  isVacant(options: CallOptions = {}): Promise<boolean> {
    return isBucketEmpty(this.#s3, options);
  }

  prepare(): void {
    ignoreRejection(this.#s3.client());
  }

  create(key: string, body: Uint8Array, options: CreateOptions = {}): Promise<void> {
    return createObject(this.#s3, key, body, options);
  }

  read(key: string, options: ReadOptions = {}): Promise<Uint8Array | undefined> {
    return readObject(this.#s3, key, options);
  }

  async openRead(key: string, options: RangeOptions = {}): Promise<Readable | undefined> {
    const { start = 0, end, ifMatch, signal } = options;
    const condition = ifMatch === undefined ? {} : { IfMatch: `"${ifMatch}"` };
    const whole = start === 0 && end === undefined;
    const range = whole ? {} : { Range: `bytes=${start}-${end === undefined ? '' : end - 1}` };
    const call = { doing: `reading ${key}`, signal };
    const answer = await this.#s3.send(call, (client, abortSignal) =>
      absent(client.getObject({ ...this.#s3.at(key), ...range, ...condition }, { abortSignal })),
    );
    return answer?.Body === undefined ? undefined : this.#watch(answer.Body as Readable, call);
  }

  async presign(key: string, options: PresignOptions): Promise<string> {
    const { presignGet } = await import('./links.ts');
    return presignGet(this.#s3, key, options);
  }

  async followLink(link: string, { signal }: CallOptions = {}): Promise<LinkAnswer> {
    const { followLink } = await import('./links.ts');
    const call = { doing: 'following a link', signal };
    return this.#s3.call(call, (abortSignal) =>
      followLink(link, { access: this.#s3.access, signal: abortSignal }),
    );
  }

  serverTime({ signal }: CallOptions = {}): Promise<Date | undefined> {
    const call = { doing: `asking ${this.url} for the time`, signal };
    return this.#s3.send(call, async (client, abortSignal) => {
      const { readServerDate } = await import('./s3-client.ts');
      return readServerDate(client, this.#s3.options.bucket, abortSignal);
    });
  }

  stat(key: string, options: CallOptions = {}): Promise<ObjectInfo | undefined> {
    return statObject(this.#s3, key, options);
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<ObjectInfo> {
    for await (const page of this.listPages(prefix, options)) yield* page;
  }

  listPages(prefix: string, options: ListOptions = {}): AsyncGenerator<ObjectInfo[]> {
    return listObjectPages(this.#s3, prefix, options);
  }

  listFolders(prefix: string, options: CallOptions = {}): AsyncGenerator<string> {
    return listFolders(this.#s3, prefix, options);
  }

  listUploads(prefix: string, options: CallOptions = {}): AsyncGenerator<OpenUpload> {
    return listUploads(this.#s3, prefix, options);
  }

  remove(keys: readonly string[], options: CallOptions = {}): Promise<void> {
    return removeObjects(this.#s3, keys, options);
  }

  async startUpload(key: string, options: CreateOptions = {}): Promise<PartUpload> {
    const input = {
      ...this.#s3.at(key),
      ContentType: options.contentType ?? 'application/octet-stream',
      ...(options.check === 'crc32c' ? { ChecksumAlgorithm: 'CRC32C' as const } : {}),
    };
    const call = { doing: `starting the upload of ${key}`, step: 'upload', ...options } as const;
    const { UploadId } = await this.#s3.send(call, (client, abortSignal) =>
      client.createMultipartUpload(input, { abortSignal }),
    );
    if (UploadId) return new S3Upload(this.#s3, key, UploadId);
    throw noS3Answer(call.doing, 'upload', 'it names no upload');
  }

  resumeUpload(key: string, uploadId: string): PartUpload {
    return new S3Upload(this.#s3, key, uploadId);
  }

  #watch(body: Readable, call: S3Call): Readable {
    return watchBody(body, {
      signal: call.signal,
      idleMs: this.#s3.options.requestMs,
      slowMs: this.#s3.options.partMs,
      explain: (error) => this.#s3.explain(error, call),
    });
  }
}
