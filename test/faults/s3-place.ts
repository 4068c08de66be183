// A bucket of the real server, reached through a proxy that injects faults, with parts of one MiB.
import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Registry } from '#built/registry/registry.js';
import type { ObjectStore } from '#built/store/object-store.js';
import { openStore } from '#built/store/open-store.js';
import { RetryingStore } from '#built/store/retrying/retrying-store.js';
import { fileSource } from '#built/transfer/upload/file-source.js';
import type { UploadPolicy } from '#built/transfer/upload/upload-types.js';
import { type Fault, type FaultyProxy, startFaultyProxy } from '../support/faulty-proxy.ts';
import { makeFolder } from '../support/folders.ts';
import { lab } from '../support/lab.ts';
import { createBucket, listKeys, listUploads, s3Env } from '../support/s3.ts';
import { kindOf, type RequestKind } from './s3-schedule.ts';

export const MIB = 1024 ** 2;

export const POLICY: UploadPolicy = {
  ...{ partSizeMib: 1, concurrency: 4, partMs: 10_000 },
  ...{ retries: 3, retryMinMs: 1, retryMaxMs: 8 },
};

export interface PlaceOptions extends Partial<UploadPolicy> {
  requestMs?: number;
}

export class FaultyPlace {
  readonly bucket: string;
  readonly proxy: FaultyProxy;
  readonly folder: string;

  constructor(bucket: string, proxy: FaultyProxy, folder: string) {
    this.bucket = bucket;
    this.proxy = proxy;
    this.folder = folder;
  }

  /** The store itself, which makes each request once; its parts may have any size. */
  async store({ requestMs = 10_000, ...policy }: PlaceOptions = {}): Promise<ObjectStore> {
    const s3 = { endpoint: this.proxy.endpoint, region: lab().s3.region };
    const times = { requestMs, partMs: policy.partMs ?? POLICY.partMs };
    const store = await openStore(`s3://${this.bucket}`, { s3, ...times });
    return Object.assign(store, { limits: { ...store.limits, minPartBytes: 1 } });
  }

  async retrying(options: PlaceOptions = {}): Promise<RetryingStore> {
    return new RetryingStore(await this.store(options), { ...POLICY, ...options });
  }

  async registry({ requestMs, ...policy }: PlaceOptions = {}): Promise<Registry> {
    const times = requestMs === undefined ? {} : { requestMs };
    return new Registry(await this.store({ ...times, ...policy }), { ...POLICY, ...policy });
  }

  async source(size: number) {
    const bytes = randomBytes(size);
    const path = join(this.folder, `source-${randomBytes(4).toString('hex')}`);
    await writeFile(path, bytes);
    return {
      source: await fileSource(path),
      path,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    };
  }

  /** Injects a fault into the first `times` requests of a kind whose URL contains `within`. */
  injectFault(
    kind: RequestKind,
    fault: Fault,
    times = Number.POSITIVE_INFINITY,
    within = '',
  ): void {
    let left = times;
    this.proxy.fault = (method, url) => {
      if (left === 0 || kindOf(method, url) !== kind || !url.includes(within)) return undefined;
      left -= 1;
      return fault;
    };
  }

  heal(): void {
    this.proxy.fault = () => undefined;
    this.proxy.log.length = 0;
  }

  /** How many requests of a kind came, since the last `heal`. */
  count(kind: RequestKind, within = ''): number {
    const { log } = this.proxy;
    return log.filter(({ method, url }) => kindOf(method, url) === kind && url.includes(within))
      .length;
  }

  keys(prefix = ''): Promise<string[]> {
    return listKeys(this.bucket, prefix);
  }

  async openUploads(prefix = ''): Promise<string[]> {
    const keys = (await listUploads(this.bucket)).map(({ Key = '' }) => Key);
    return keys.filter((key) => key.startsWith(prefix));
  }
}

/** The keys of the lab stand in the environment from here on, where the SDK looks for them. */
export async function makeFaultyPlace(): Promise<FaultyPlace> {
  const { AWS_ENDPOINT_URL_S3: _, ...env } = s3Env();
  Object.assign(process.env, env);
  const proxy = await startFaultyProxy(lab().s3.tinyPartsEndpoint);
  return new FaultyPlace(await createBucket(), proxy, await makeFolder('vp-test-s3-faults'));
}
