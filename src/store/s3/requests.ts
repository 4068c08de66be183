// Makes one request to a bucket, with a deadline, and turns its failure into a PublishError.
import { withDeadline } from '../../core/deadline.ts';
import type { PublishError, Step } from '../../core/errors.ts';
import { assertKey } from '../object-key.ts';
import type { S3Access, S3StoreOptions } from './access.ts';
import { isMissingKey, s3Error } from './errors.ts';
import type { S3 } from './s3-client.ts';

/** One request: what it does, for messages, its step and its deadline. */
export interface S3Call {
  doing: string;
  step?: Step;
  ms?: number;
  signal?: AbortSignal | undefined;
}

export class S3Requests {
  /** `s3://bucket/prefix`, without a slash at its end. */
  readonly url: string;
  readonly access: S3Access;
  readonly options: S3StoreOptions;
  /** Prefix of every key: empty, or with a slash at its end. */
  readonly prefix: string;

  /** False once the server has refused If-None-Match as something that it does not know. */
  supportsConditions = true;

  #client: Promise<S3> | undefined;

  constructor(access: S3Access, options: S3StoreOptions) {
    this.access = access;
    this.options = options;
    this.prefix = options.prefix === '' ? '' : `${options.prefix}/`;
    this.url = `s3://${options.bucket}/${options.prefix}`.replace(/\/$/, '');
  }

  /** Bucket and key of an object. @throws USAGE if the key cannot be one. */
  at(key: string): { Bucket: string; Key: string } {
    assertKey(key);
    return { Bucket: this.options.bucket, Key: this.prefix + key };
  }

  /** Makes one request within its deadline. @throws PublishError for every failure */
  async call<T>(
    { doing, signal, step = 'registry', ms = this.options.requestMs }: S3Call,
    request: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    try {
      return await withDeadline({ what: this.server, ms, step, signal }, request);
    } catch (error) {
      throw this.explain(error, { doing, step });
    }
  }

  /** `call` with the SDK's client. */
  send<T>(call: S3Call, request: (client: S3, abortSignal: AbortSignal) => Promise<T>): Promise<T> {
    return this.call(call, async (abortSignal) => request(await this.client(), abortSignal));
  }

  /** NOTE: loading it takes as long as listing some thousand keys, which needs no client. */
  client(): Promise<S3> {
    this.#client ??= import('./s3-client.ts').then(({ createS3Client }) =>
      createS3Client(this.options, this.access, this.options.requestMs),
    );
    return this.#client;
  }

  /** Returns the failure of a request as a PublishError. */
  explain(error: unknown, { doing, step = 'registry' }: S3Call): PublishError {
    return s3Error(error, { doing, step, bucket: this.options.bucket, server: this.server });
  }

  /** For messages. */
  get server(): string {
    const { proxy } = this.access;
    return `${this.options.endpoint ?? 'S3'}${proxy === undefined ? '' : ` by the proxy ${proxy}`}`;
  }
}

/** Returns the answer to a request for one object; `undefined` if the server reports that it does not exist. */
export async function absent<T>(request: Promise<T>, isHead = false): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    if (isMissingKey(error, isHead)) return undefined;
    throw error;
  }
}
