// One multipart upload in an S3 bucket: parts, their list, the object made of them, and its end.
import { PublishError } from '../../core/errors.ts';
import { etagsDiffer, multipartEtag, unquote } from '../etag.ts';
import type { CallOptions, ObjectInfo } from '../object-info.ts';
import type { PartBody, PartInfo, PartOrigin, PartUpload } from '../object-store.ts';
import { createOnly, statObject } from './objects.ts';
import { base64, copyPart, listParts, putPart, unlessMissing } from './parts.ts';
import type { S3Requests } from './requests.ts';

/** A part up to this size has the usual deadline, a larger one as much more. */
const USUAL_PART_BYTES = 16 * 1024 * 1024;

export class S3Upload implements PartUpload {
  readonly key: string;
  readonly uploadId: string;
  readonly #s3: S3Requests;

  constructor(s3: S3Requests, key: string, uploadId: string) {
    this.#s3 = s3;
    this.key = key;
    this.uploadId = uploadId;
  }

  putPart(number: number, body: PartBody, options: CallOptions = {}): Promise<PartInfo> {
    const ms = this.#s3.options.partMs * Math.max(1, body.length / USUAL_PART_BYTES);
    const call = { ...this.#call(`sending part ${number} of ${this.key}`, options), ms };
    return putPart(this.#s3, { ...this.#at(), PartNumber: number }, body, call);
  }

  copyPart(number: number, from: PartOrigin, options: CallOptions = {}): Promise<PartInfo> {
    const ms = this.#s3.options.partMs * Math.max(1, (from.end - from.start) / USUAL_PART_BYTES);
    const doing = `copying part ${number} of ${this.key}`;
    const call = { ...this.#call(doing, options), ms };
    return copyPart(this.#s3, { ...this.#at(), PartNumber: number }, from, call);
  }

  // NOTE: the answer may be lost after the object was made. It may be a 200 with an error in its
  // body, which the SDK throws. Its ETag may be empty. So after anything but a plain success the
  // object is looked at: the right size and ETag under this key can only come from these parts.
  async complete(parts: readonly PartInfo[], options: CallOptions = {}): Promise<ObjectInfo> {
    try {
      await this.#complete(parts, options);
    } catch (error) {
      const made = await this.#lookIfMade(parts, options, error);
      if (made === undefined) throw error;
      // Refused, so the upload is still open. (After any other answer it must be left alone: the
      // server may be at it, and an abort beside a complete can cost the parts.)
      if (error instanceof PublishError && error.code === 'PRECONDITION_LOST') {
        await this.abort(options);
      }
      return made;
    }
    const info = await statObject(this.#s3, this.key, options);
    if (info !== undefined) return info;
    throw new PublishError('UPLOAD', `${this.key} is missing after its upload was completed`, {
      step: 'upload',
      retryable: true,
    });
  }

  async #complete(parts: readonly PartInfo[], options: CallOptions): Promise<void> {
    const call = this.#call(`completing the upload of ${this.key}`, options);
    const input = { ...this.#at(), MultipartUpload: { Parts: parts.map(completedPart) } };
    await this.#s3.send(call, (client, abortSignal) =>
      createOnly(this.#s3, { key: this.key, signal: abortSignal }, (condition) =>
        client.completeMultipartUpload({ ...input, ...condition }, { abortSignal }),
      ),
    );
  }

  async abort(options: CallOptions = {}): Promise<void> {
    const call = this.#call(`aborting the upload of ${this.key}`, options);
    await this.#s3.send(call, (client, abortSignal) =>
      unlessMissing(client.abortMultipartUpload(this.#at(), { abortSignal })),
    );
  }

  async listParts(options: CallOptions = {}): Promise<PartInfo[]> {
    const call = this.#call(`listing the parts of ${this.key}`, options);
    const parts: PartInfo[] = [];
    for await (const { PartNumber = 0, Size = 0, ETag } of listParts(this.#s3, this.#at(), call)) {
      parts.push({ number: PartNumber, size: Size, etag: unquote(ETag) });
    }
    return parts;
  }

  async touchedAt(options: CallOptions = {}): Promise<Date | null> {
    const call = this.#call(`looking at the upload of ${this.key}`, options);
    let last: Date | null = null;
    for await (const { LastModified } of listParts(this.#s3, this.#at(), call)) {
      if (LastModified !== undefined && (last === null || LastModified > last)) last = LastModified;
    }
    return last;
  }

  /** The object, if it is what these parts make; INTERRUPTED is no reason to look. */
  async #lookIfMade(
    parts: readonly PartInfo[],
    options: CallOptions,
    error: unknown,
  ): Promise<ObjectInfo | undefined> {
    if (options.signal?.aborted) return undefined;
    const info = await statObject(this.#s3, this.key, options).catch((lookError: unknown) => {
      throw errorOfUnknownEnd(error, lookError);
    });
    const size = parts.reduce((sum, part) => sum + part.size, 0);
    if (info === undefined || info.size !== size) return undefined;
    return etagsDiffer(info.etag, multipartEtag(parts)) ? undefined : info;
  }

  #at() {
    return { ...this.#s3.at(this.key), UploadId: this.uploadId };
  }

  #call(doing: string, { signal }: CallOptions) {
    return { doing, step: 'upload', ms: this.#s3.options.partMs, signal } as const;
  }
}

/**
 * Returns the error to raise if the completion failed and the object could not be looked up.
 * A refusal after a lost answer can mean success (the upload no longer exists, the key does). So the
 * error is retryable if another look-up may decide; otherwise the first answer counts.
 */
function errorOfUnknownEnd(error: unknown, lookError: unknown): unknown {
  if (!(error instanceof PublishError && lookError instanceof PublishError)) return lookError;
  const mayHaveBeenMade = lookError.retryable || error.code === 'PRECONDITION_LOST';
  return !error.retryable && mayHaveBeenMade ? lookError : error;
}

/** NOTE: an upload that was started with a checksum wants each part's again at its end (AWS). */
function completedPart({ number, etag, crc32c }: PartInfo) {
  const checksum = crc32c === undefined ? {} : { ChecksumCRC32C: base64(crc32c) };
  return { PartNumber: number, ETag: `"${etag}"`, ...checksum };
}
