// A multipart upload whose requests are retried, except those for parts: their sender retries them.
import type { CallOptions, ObjectInfo } from '../object-info.ts';
import type { PartBody, PartInfo, PartOrigin, PartUpload } from '../object-store.ts';
import { type RetryPolicy, withRetries } from './retry.ts';

export class RetryingUpload implements PartUpload {
  readonly key: string;
  readonly uploadId: string;
  readonly copyPart?: NonNullable<PartUpload['copyPart']>;
  readonly #upload: PartUpload;
  readonly #policy: RetryPolicy;

  constructor(upload: PartUpload, policy: RetryPolicy) {
    this.key = upload.key;
    this.uploadId = upload.uploadId;
    this.#upload = upload;
    // Requests that move data may take minutes.
    this.#policy = { ...policy, onWait: undefined };
    if (upload.copyPart !== undefined) this.copyPart = (...copy) => this.#copyPart(...copy);
  }

  putPart(number: number, body: PartBody, options: CallOptions = {}): Promise<PartInfo> {
    return this.#upload.putPart(number, body, options);
  }

  async #copyPart(number: number, from: PartOrigin, options: CallOptions = {}): Promise<PartInfo> {
    return this.#retry(options, async () => {
      const part = await this.#upload.copyPart?.(number, from, options);
      return part as PartInfo;
    });
  }

  complete(parts: readonly PartInfo[], options: CallOptions = {}): Promise<ObjectInfo> {
    return this.#retry(options, () => this.#upload.complete(parts, options));
  }

  abort(options: CallOptions = {}): Promise<void> {
    return this.#retry(options, () => this.#upload.abort(options));
  }

  touchedAt(options: CallOptions = {}): Promise<Date | null> {
    return this.#retry(options, () => this.#upload.touchedAt(options));
  }

  listParts(options: CallOptions = {}): Promise<PartInfo[]> {
    return this.#retry(options, () => this.#upload.listParts(options));
  }

  #retry<T>(options: CallOptions, attempt: (n: number) => Promise<T>): Promise<T> {
    return withRetries(this.#policy, { signal: options.signal, step: 'upload' }, attempt);
  }
}
