// What only a bucket can do to us: refused access, lost answers, answers that lie, servers that rest.
import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { openRegistry, type Registry, type RegistryOptions } from '#built/registry/registry.js';
import { openStore } from '#built/store/open-store.js';
import { RetryingStore } from '#built/store/retrying/retrying-store.js';
import { fileSource } from '#built/transfer/upload/file-source.js';
import { closedPort, type FaultyProxy, startFaultyProxy } from '../support/faulty-proxy.ts';
import { lab } from '../support/lab.ts';
import { bucketPlace, type Place, scratchFolder } from './places.ts';

const MIB = 1024 ** 2;
const QUICK = { retries: 3, retryMinMs: 1, retryMaxMs: 5 };

let place: Place;
let proxy: FaultyProxy;
let folder: string;
beforeAll(async () => {
  place = await bucketPlace();
  proxy = await startFaultyProxy(lab().s3.endpoint);
  folder = await scratchFolder();
});
afterAll(() => proxy.stop());
afterEach(() => {
  proxy.fault = () => undefined;
});

function throughProxy(options: RegistryOptions = {}): Promise<Registry> {
  const s3 = { ...place.options.s3, endpoint: proxy.endpoint };
  return openRegistry(place.url, { ...options, s3, upload: { ...QUICK, ...options.upload } });
}

async function storeThroughProxy(): Promise<RetryingStore> {
  const s3 = { ...place.options.s3, endpoint: proxy.endpoint };
  return new RetryingStore(
    await openStore(place.url, { s3, requestMs: 5000, partMs: 5000 }),
    QUICK,
  );
}

/** Injects a fault into the first `times` requests that match `fits`. */
function injectFault(times: number, fits: RegExp, fault: ReturnType<FaultyProxy['fault']>): void {
  let left = times;
  proxy.fault = (method, url) => {
    if (left === 0 || !fits.test(`${method} ${url}`)) return undefined;
    left -= 1;
    return fault;
  };
}

async function source(size: number) {
  const file = join(folder, `source-${randomBytes(4).toString('hex')}`);
  await writeFile(file, randomBytes(size));
  return fileSource(file);
}

describe('access', () => {
  const SECRET = 'planted-secret-1234567890';

  async function refusal(url: string, options: RegistryOptions): Promise<Error> {
    const registry = await openRegistry(url, { ...options, upload: QUICK });
    const error = await registry.checkAccess().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (!(error instanceof Error)) throw new Error(`${url} was not refused`);
    const { accessKeyId, secretAccessKey } = lab().s3;
    const shown = inspect(error, { depth: 10, showHidden: true });
    for (const secret of [accessKeyId, secretAccessKey, SECRET])
      expect(shown).not.toContain(secret);
    return error;
  }

  test('a missing bucket is named', async () => {
    expect(await refusal('s3://no-such-bucket-here/x', place.options)).toMatchObject({
      code: 'REGISTRY',
      retryable: false,
      message: expect.stringContaining('there is no bucket no-such-bucket-here'),
    });
  });

  test.each([
    ['a wrong secret', { AWS_SECRET_ACCESS_KEY: SECRET }],
    ['an unknown key', { AWS_ACCESS_KEY_ID: SECRET }],
  ])('%s is reported as wrong credentials', async (_what, wrong) => {
    const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = process.env;
    Object.assign(process.env, wrong);
    try {
      expect(await refusal(place.url, place.options)).toMatchObject({
        code: 'REGISTRY',
        retryable: false,
        hint: expect.stringContaining('check the credentials'),
      });
    } finally {
      Object.assign(process.env, { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY });
    }
  });

  test('an unreachable server is named', async () => {
    const endpoint = `http://127.0.0.1:${await closedPort()}`;
    expect(await refusal('s3://bucket/x', { s3: { endpoint } })).toMatchObject({
      code: 'REGISTRY',
      retryable: true,
      message: expect.stringContaining(`${endpoint} cannot be reached`),
    });
  });

  test('a request without an answer ends at its deadline', async () => {
    injectFault(1, /^GET/, 'stall');
    const s3 = { ...place.options.s3, endpoint: proxy.endpoint };
    const registry = await openRegistry(place.url, {
      s3,
      requestTimeoutMs: 200,
      upload: { ...QUICK, retries: 0 },
    });
    await expect(registry.checkAccess()).rejects.toMatchObject({
      code: 'REGISTRY',
      retryable: true,
      message: expect.stringContaining('no answer within 0.2 s'),
    });
  });

  test('https to a private authority needs the CA file, and works with it', async () => {
    const { tlsEndpoint, caFile } = lab().s3;
    expect(await refusal(place.url, { s3: { endpoint: tlsEndpoint } })).toMatchObject({
      code: 'REGISTRY',
      retryable: false,
      hint: expect.stringContaining('--ca-file'),
    });
    const s3 = { endpoint: tlsEndpoint, caFile };
    const registry = await openRegistry(place.url, { s3 });
    await expect(registry.checkAccess()).resolves.toBeUndefined();
    const store = await openStore(place.url, { s3, requestMs: 5000, partMs: 5000 });
    const upload = await store.startUpload('tls');
    const body = randomBytes(3 * MIB);
    const md5 = createHash('md5').update(body).digest('hex');
    const part = { start: 0, length: body.length, open: () => Readable.from([body]) };
    expect(await upload.putPart(1, { ...part, md5 })).toMatchObject({ etag: md5 });
    const wrong = upload.putPart(2, { ...part, crc32c: '00000000' });
    await expect(wrong).rejects.toMatchObject({ code: 'INTEGRITY', retryable: true });
    await upload.abort();
  });
});

describe('records', () => {
  test('`create` succeeds if its answer was lost', async () => {
    injectFault(1, /^PUT .*record/, 'lose');
    const registry = await throughProxy();
    const { id } = await registry.queueImage({ name: 'lost', disk_format: 'raw' });
    expect((await place.keys()).filter((key) => key.includes(id))).toEqual([
      `images/${id}/record/00000001.json`,
    ]);
    expect(await registry.getImage(id)).toMatchObject({ version: 1, name: 'lost' });
  });

  test('`create` fails if its request was lost and another client wins', async () => {
    const store = await storeThroughProxy();
    injectFault(1, /^PUT .*taken/, 'reset');
    let theirs: Promise<unknown> = Promise.resolve();
    proxy.fault = ((inner) => (method, url, headers) => {
      const fault = inner(method, url, headers);
      const write = () => place.store.create('taken', Buffer.from('theirs'));
      if (fault === 'reset') theirs = write().catch((error: unknown) => error);
      return fault;
    })(proxy.fault);
    // The other's write may come after our second try, which is a fair win; the bytes show which.
    const outcome = await store.create('taken', Buffer.from('own')).then(
      () => 'own',
      (error: { code: string }) => error.code,
    );
    const lost = await theirs;
    const there = Buffer.from((await place.store.read('taken')) ?? []).toString();
    expect(outcome).toBe(there === 'own' ? 'own' : 'PRECONDITION_LOST');
    expect(lost === undefined).toBe(there === 'theirs');
  });

  test('SlowDown, resets and 500 are retried, a refusal is not', async () => {
    const registry = await throughProxy();
    const body = '<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>';
    for (const fault of [{ status: 503, body }, { status: 500, body: '' }, 'reset'] as const) {
      injectFault(3, /^GET/, fault);
      await expect(registry.checkAccess()).resolves.toBeUndefined();
      injectFault(4, /^GET/, fault);
      await expect(registry.checkAccess()).rejects.toMatchObject({
        code: 'REGISTRY',
        retryable: true,
      });
    }
    injectFault(1, /^GET/, { status: 403, body: '<Error><Code>AccessDenied</Code></Error>' });
    await expect(registry.checkAccess()).rejects.toMatchObject({
      code: 'REGISTRY',
      retryable: false,
      message: expect.stringContaining('AccessDenied'),
    });
  });
});

describe('uploads', () => {
  const LIES = {
    status: 200,
    body: '<?xml version="1.0"?><Error><Code>InternalError</Code></Error>',
  };

  test.each([
    ['a part is answered 503', 2, /partNumber=2/, { status: 503, body: '' }],
    ['a part is cut off', 2, /partNumber=1&/, 'reset'],
    ["a part's answer is lost", 2, /partNumber=3/, 'lose'],
    ["a part's ETag is another", 1, /partNumber=2/, { etag: `"${'0'.repeat(32)}"` }],
    ['the start is lost', 1, /^POST .*uploads/, 'lose'],
    ["the completion's answer is lost", 1, /^POST .*uploadId/, 'lose'],
    ['the completion says 200 and means an error', 1, /^POST .*uploadId/, LIES],
    ['the completion took effect and lies', 1, /^POST .*uploadId/, { ...LIES, after: true }],
    ['the completion is answered 500', 2, /^POST .*uploadId/, { status: 500, body: '' }],
  ] as const)('an upload succeeds although %s', async (_what, times, fits, fault) => {
    const registry = await throughProxy();
    const { id } = await registry.queueImage({ name: 'faulty', disk_format: 'raw' });
    await registry.markSaving(id);
    const from = await source(40 * MIB + 5);
    injectFault(times, fits, fault);
    let last = 0;
    const { digests, size } = await registry.uploadData(id, 'vda.raw', from, {
      onProgress: (bytes) => {
        last = bytes;
      },
    });
    expect(last).toBe(size);
    await registry.activateImage(id, { data: { name: 'vda.raw', size, sha256: digests.sha256 } });
    await registry.pullImage(id, join(folder, id));
    expect(await place.openUploads()).toEqual([]);
    await registry.deleteImage(id);
  });

  test('an upload whose part fails for good is aborted', async () => {
    const registry = await throughProxy();
    const { id } = await registry.queueImage({ name: 'given-up', disk_format: 'raw' });
    proxy.fault = (_method, url) =>
      url.includes('partNumber=2') ? { status: 503, body: '' } : undefined;
    const before = proxy.seen.length;
    await expect(registry.uploadData(id, 'vda.raw', await source(80 * MIB))).rejects.toMatchObject({
      code: 'UPLOAD',
      retryable: true,
    });
    const tries = proxy.seen.slice(before).filter((line) => line.includes('partNumber=2&'));
    expect(tries).toHaveLength(1 + QUICK.retries);
    expect(await place.openUploads()).toEqual([]);
    expect((await place.keys()).filter((key) => key.endsWith('vda.raw'))).toEqual([]);
  });

  test('a part that stalls is retried at its deadline', async () => {
    const registry = await throughProxy({ upload: { ...QUICK, partMs: 1500 } });
    const { id } = await registry.queueImage({ name: 'stalled', disk_format: 'raw' });
    injectFault(1, /partNumber=2/, 'stall');
    const { size } = await registry.uploadData(id, 'vda.raw', await source(40 * MIB));
    expect(await place.store.stat(`images/${id}/vda.raw`)).toMatchObject({ size });
    expect(await place.openUploads()).toEqual([]);
  });

  test('an upload that cannot be aborted is named in the error', async () => {
    const registry = await throughProxy();
    const { id } = await registry.queueImage({ name: 'stuck', disk_format: 'raw' });
    proxy.fault = (method, url) =>
      url.includes('uploadId=') && method !== 'GET' ? { status: 503, body: '' } : undefined;
    await expect(registry.uploadData(id, 'vda.raw', await source(MIB))).rejects.toMatchObject({
      code: 'UPLOAD',
      message: expect.stringContaining('stays open'),
      undoFailures: [expect.any(Error)],
    });
    proxy.fault = () => undefined;
    for await (const { key, uploadId } of place.store.listUploads('')) {
      await place.store.resumeUpload(key, uploadId).abort();
    }
  });
});

test('`pull` resumes where its connection broke', async () => {
  const registry = await throughProxy();
  const { id } = await registry.queueImage({ name: 'pull', disk_format: 'raw' });
  await registry.markSaving(id);
  const from = await source(20 * MIB);
  const { digests, size } = await registry.uploadData(id, 'vda.raw', from);
  await registry.activateImage(id, { data: { name: 'vda.raw', size, sha256: digests.sha256 } });
  injectFault(2, /^GET .*vda.raw/, 'reset');
  await registry.pullImage(id, join(folder, 'pull'));
  injectFault(99, /^GET .*vda.raw/, 'reset');
  await expect(registry.pullImage(id, join(folder, 'pull-2'))).rejects.toMatchObject({
    code: 'REGISTRY',
  });
});
