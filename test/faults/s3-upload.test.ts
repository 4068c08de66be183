// An upload against what goes wrong around its parts: deadlines, digests, progress, memory of the dead.
import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { appendFile, writeFile } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { CompleteMultipartUploadCommand, ListPartsCommand } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { ImageSource } from '#built/host/io/image-source.js';
import { openRegistry } from '#built/registry/registry.js';
import { openStore } from '#built/store/open-store.js';
import type { DigestAlgorithm } from '#built/transfer/digests/digests.js';
import { FileReader, fileSource } from '#built/transfer/upload/file-source.js';
import { uploadImage } from '#built/transfer/upload/upload-image.js';
import { must, run } from '../support/exec.ts';
import type { Fault } from '../support/faulty-proxy.ts';
import { lab } from '../support/lab.ts';
import { s3Client } from '../support/s3.ts';
import { type FaultyPlace, MIB, makeFaultyPlace, POLICY } from './s3-place.ts';
import { EXPIRED, kindOf, SLOW_DOWN } from './s3-schedule.ts';

let place: FaultyPlace;
beforeAll(async () => {
  place = await makeFaultyPlace();
});
afterEach(() => place.heal());
afterAll(() => place.proxy.stop());

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => {
      throw new Error('it did not fail');
    },
    (error: unknown) => error,
  );
}

async function expectNothingOf(id: string): Promise<void> {
  expect(await place.openUploads(`images/${id}/`)).toEqual([]);
  expect(await place.keys(`images/${id}/`)).toEqual([]);
}

describe('retries', () => {
  test('of a part that always fails with 503 are as many as configured', async () => {
    const registry = await place.registry({ retries: 5 });
    const { source } = await place.source(8 * MIB);
    place.injectFault('part', SLOW_DOWN, Number.POSITIVE_INFINITY, 'partNumber=3&');
    const id = randomUUID();
    const error = await failureOf(registry.uploadData(id, 'vda.raw', source));
    expect(error).toMatchObject({ code: 'UPLOAD', retryable: true });
    expect(place.count('part', 'partNumber=3&')).toBe(6);
    expect(place.count('abort')).toBe(1);
    await expectNothingOf(id);
  });

  test.each([
    EXPIRED,
    { ...EXPIRED, body: EXPIRED.body.replace('ExpiredToken', 'InvalidAccessKeyId') },
  ])('are not made after credentials expire in the middle (%#)', async (fault) => {
    const registry = await place.registry();
    const { source } = await place.source(8 * MIB);
    let ended = 0;
    place.proxy.fault = (method, url) => {
      if (ended === 0 && !url.includes('partNumber=5&')) return undefined;
      ended += 1;
      return kindOf(method, url) === 'head' ? { ...fault, body: '' } : fault;
    };
    const id = randomUUID();
    const error = await failureOf(registry.uploadData(id, 'vda.raw', source));
    expect(error).toMatchObject({
      code: 'REGISTRY',
      retryable: false,
      message: expect.stringMatching(
        /refused the credentials \((ExpiredToken|InvalidAccessKeyId)\)/,
      ),
      undoFailures: [expect.any(Error)],
    });
    // The parts that were under way, and one abort.
    expect(ended).toBeLessThanOrEqual(POLICY.concurrency + 1);
    expect(await place.openUploads(`images/${id}/`)).toHaveLength(1);
    place.heal();
    const store = await place.retrying();
    for await (const { key, uploadId } of store.listUploads(`images/${id}/`)) {
      await store.resumeUpload(key, uploadId).abort();
    }
    await expectNothingOf(id);
  });
});

describe('deadlines', () => {
  test.each(['stall', 'stall-after'] as const)(
    'a part that meets %s is sent again after partMs',
    async (fault) => {
      const registry = await place.registry({ partMs: 700 });
      const { source } = await place.source(4 * MIB);
      place.injectFault('part', fault, 1, 'partNumber=2&');
      const started = performance.now();
      await registry.uploadData(randomUUID(), 'vda.raw', source);
      expect(performance.now() - started).toBeGreaterThanOrEqual(690);
      expect(place.count('part', 'partNumber=2&')).toBe(2);
    },
  );

  test('a connection that is not accepted fails after requestMs', async () => {
    const full = await fullServer();
    try {
      const s3 = { endpoint: `http://127.0.0.1:${full.port}`, region: 'us-east-1' };
      const registry = await openRegistry('s3://bucket', {
        s3,
        requestTimeoutMs: 400,
        upload: { ...POLICY, retries: 1 },
      });
      expect(await failureOf(registry.checkAccess())).toMatchObject({
        code: 'REGISTRY',
        retryable: true,
      });
      // A part may take minutes; the connection it needs may not.
      const store = await openStore('s3://bucket', { s3, requestMs: 400, partMs: 60_000 });
      const body = { start: 0, length: MIB, open: () => Readable.from([Buffer.alloc(MIB)]) };
      const started = performance.now();
      const sent = store.resumeUpload('stalled', 'upload').putPart(1, body);
      expect(await failureOf(sent)).toMatchObject({ retryable: true });
      expect(performance.now() - started).toBeLessThan(8000);
    } finally {
      full.stop();
    }
  });

  test('a credential process that hangs fails after requestMs', async () => {
    const config = join(place.folder, 'aws-config');
    await writeFile(config, '[profile hangs]\ncredential_process = sleep 20\nregion = us-east-1\n');
    const before = process.env.AWS_CONFIG_FILE;
    process.env.AWS_CONFIG_FILE = config;
    try {
      const s3 = { endpoint: place.proxy.endpoint, profile: 'hangs' };
      const registry = await openRegistry(`s3://${place.bucket}`, {
        s3,
        requestTimeoutMs: 200,
        upload: { ...POLICY, retries: 0 },
      });
      const started = performance.now();
      expect(await failureOf(registry.checkAccess())).toMatchObject({ code: 'REGISTRY' });
      expect(performance.now() - started).toBeLessThan(10_000);
      expect(place.proxy.log).toEqual([]);
    } finally {
      if (before === undefined) delete process.env.AWS_CONFIG_FILE;
      else process.env.AWS_CONFIG_FILE = before;
    }
  });

  test('a signal ends an upload whose source hangs', async () => {
    const registry = await place.registry();
    // A FIFO without a writer: an open of it hangs.
    const fifo = join(place.folder, 'fifo');
    await must('mkfifo', [fifo]);
    const controller = new AbortController();
    const id = randomUUID();
    const hanging: ImageSource = { size: 4 * MIB, reader: () => new FileReader(fifo, false) };
    const options = { signal: controller.signal };
    const failure = failureOf(registry.uploadData(id, 'vda.raw', hanging, options));
    await expect.poll(() => place.openUploads(`images/${id}/`)).toHaveLength(1);
    controller.abort();
    expect(await failure).toMatchObject({ code: 'INTERRUPTED' });
    await expectNothingOf(id);
    // Ends the read in the thread of Node's pool.
    await must('sh', ['-c', 'exec 3<>"$0"; sleep 1', fifo]);
  });
});

describe('a body', () => {
  const BODY = randomBytes(12 * MIB);
  beforeAll(async () => {
    await (await place.store()).create('large', BODY);
  });

  async function read(stream: Readable | undefined): Promise<Buffer> {
    if (stream === undefined) throw new Error('the object is missing');
    return Buffer.concat(await stream.toArray());
  }

  test('has no deadline for a slow reader', async () => {
    const stream = await (await place.store({ requestMs: 300 })).openRead('large');
    await sleep(1500);
    expect((await read(stream)).equals(BODY)).toBe(true);
  });

  test('that stalls fails after requestMs, also after a pause', async () => {
    place.injectFault('get', 'hang');
    const stream = await (await place.store({ requestMs: 300 })).openRead('large');
    await sleep(700);
    expect(await failureOf(read(stream))).toMatchObject({
      code: 'REGISTRY',
      retryable: true,
      message: expect.stringContaining('no answer in time'),
    });
  });

  test.each(['get', 'list'] as const)('of a %s that hangs is requested again', async (kind) => {
    const store = await place.retrying({ requestMs: 400 });
    await store.create(`small-${kind}`, Buffer.from('{"a":1}'));
    place.injectFault(kind, 'hang', 1);
    if (kind === 'get') expect(await store.read(`small-${kind}`)).toHaveLength(7);
    else expect((await store.list(`small-${kind}`).next()).value).toMatchObject({ size: 7 });
    expect(place.count(kind)).toBe(2);
  });
});

/** Starts a server with a full backlog that accepts no connection: a handshake with it never completes. */
async function fullServer(): Promise<{ port: number; stop(): void }> {
  const code = `const s = require('net').createServer();
    s.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(s.address().port));`;
  const child = spawn(process.execPath, ['-e', code]);
  const port = await new Promise<number>((resolve) =>
    child.stdout.once('data', (text: Buffer) => resolve(Number(text))),
  );
  child.kill('SIGSTOP');
  const sockets: Socket[] = [];
  for (let refused = 0; refused < 2; ) {
    const socket = createConnection({ port, host: '127.0.0.1' });
    socket.on('error', () => undefined);
    sockets.push(socket);
    const came = new Promise<boolean>((resolve) => socket.once('connect', () => resolve(true)));
    refused = (await Promise.race([came, sleep(200, false)])) ? 0 : refused + 1;
  }
  const stop = () => {
    for (const socket of sockets) socket.destroy();
    child.kill('SIGKILL');
  };
  return { port, stop };
}

describe('the digest is that of the bytes that were sent', () => {
  test('a file that grows or changes meanwhile is not published', async () => {
    const registry = await place.registry();
    const { source, path } = await place.source(8 * MIB);
    const id = randomUUID();
    let changed = false;
    place.proxy.fault = () => {
      if (!changed && place.count('part') > 2) {
        changed = true;
        void appendFile(path, 'x');
      }
      return undefined;
    };
    expect(await failureOf(registry.uploadData(id, 'vda.raw', source))).toMatchObject({
      code: 'INTEGRITY',
      message: expect.stringContaining('was changed while it was read'),
    });
    await expectNothingOf(id);
  });

  test('a file that is replaced under its name is not published', async () => {
    const { source, path } = await place.source(2 * MIB);
    const { path: other } = await place.source(2 * MIB);
    await must('mv', [other, path]);
    const id = randomUUID();
    const registry = await place.registry();
    expect(await failureOf(registry.uploadData(id, 'vda.raw', source))).toMatchObject({
      code: 'INTEGRITY',
    });
    await expectNothingOf(id);
  });

  test('a file that gets shorter fails, and leaves no object and no upload', async () => {
    const { source, path } = await place.source(8 * MIB);
    await must('truncate', ['-s', '3M', path]);
    const id = randomUUID();
    const registry = await place.registry();
    expect(await failureOf(registry.uploadData(id, 'vda.raw', source))).toMatchObject({
      code: expect.stringMatching(/^(UPLOAD|INTEGRITY)$/),
    });
    await expectNothingOf(id);
  });
});

describe('progress', () => {
  test('counts each byte that arrived once, whatever was sent again', async () => {
    const registry = await place.registry({ retries: 8, partMs: 500 });
    const { source } = await place.source(8 * MIB + 5);
    const faults: Fault[] = ['lose', 'reset', 'reset-middle', SLOW_DOWN, 'stall', 'short'];
    place.proxy.fault = (method, url) =>
      kindOf(method, url) === 'part' && place.count('part') % 2 === 0 ? faults.shift() : undefined;
    const seen: number[] = [];
    await registry.uploadData(randomUUID(), 'vda.raw', source, {
      onProgress: (bytes) => seen.push(bytes),
    });
    expect(faults).toEqual([]);
    expect(seen.at(-1)).toBe(source.size);
    expect(Math.min(...seen)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...seen)).toBe(source.size);
  });

  test('with a callback that throws fails the upload, not the process', async () => {
    const registry = await place.registry();
    const { source } = await place.source(4 * MIB);
    const id = randomUUID();
    const onProgress = () => {
      throw new Error('the bar is broken');
    };
    const error = await failureOf(registry.uploadData(id, 'vda.raw', source, { onProgress }));
    expect(String(error)).toContain('the bar is broken');
    await expectNothingOf(id);
  });
});

test('a thread that cannot be started leaves no upload', async () => {
  const { source } = await place.source(MIB);
  const id = randomUUID();
  // A value that cannot be sent to a thread makes its start fail, like a host without memory for one.
  const bad = (() => undefined) as unknown as DigestAlgorithm;
  const options = { key: `images/${id}/vda.raw`, source, algorithms: [bad] };
  const policy = { ...POLICY, partMs: 60_000 };
  await failureOf(uploadImage(await place.store(), { ...options, policy }));
  await expectNothingOf(id);
});

describe('an ETag', () => {
  test('that differs from that of the part makes the part be sent again, and fails after all retries', async () => {
    const registry = await place.registry();
    const { source } = await place.source(2 * MIB);
    place.injectFault('part', { etag: `"${'0'.repeat(32)}"` }, POLICY.retries, 'partNumber=1&');
    await registry.uploadData(randomUUID(), 'vda.raw', source);
    place.injectFault('part', { etag: `"${'0'.repeat(32)}"` });
    const id = randomUUID();
    expect(await failureOf(registry.uploadData(id, 'vda.raw', source))).toMatchObject({
      code: 'INTEGRITY',
    });
    await expectNothingOf(id);
  });

  test('of a bucket that encrypts with a KMS is accepted, although it is no md5', async () => {
    const registry = await place.registry();
    const { source } = await place.source(3 * MIB);
    const id = randomUUID();
    const kms = { 'x-amz-server-side-encryption': 'aws:kms' };
    place.proxy.fault = (method, url) => {
      const kind = kindOf(method, url);
      if (kind === 'part') return { headers: { ...kms, etag: `"${'c'.repeat(32)}"` } };
      if (kind === 'complete') return 'instead';
      return undefined;
    };
    place.proxy.instead = async (url) => {
      const UploadId = new URL(url, 'http://host').searchParams.get('uploadId') ?? '';
      const at = { Bucket: place.bucket, Key: `images/${id}/vda.raw`, UploadId };
      const { Parts = [] } = await s3Client().send(new ListPartsCommand(at));
      const parts = Parts.map(({ PartNumber, ETag }) => ({ PartNumber, ETag }));
      const tiny = s3Client(lab().s3, lab().s3.tinyPartsEndpoint);
      await tiny.send(
        new CompleteMultipartUploadCommand({ ...at, MultipartUpload: { Parts: parts } }),
      );
    };
    const sent = await registry.uploadData(id, 'vda.raw', source);
    expect(sent.size).toBe(3 * MIB);
  });
});

test('answers that arrive before the body was sent keep neither connections nor the process open', async () => {
  const { path } = await place.source(8 * MIB);
  await fileSource(path);
  place.injectFault('part', { ...SLOW_DOWN, early: true }, 24);
  const code = `
    import { openStore } from '#built/store/open-store.js';
    import { RetryingStore } from '#built/store/retrying/retrying-store.js';
    import { fileSource } from '#built/transfer/upload/file-source.js';
    import { uploadImage } from '#built/transfer/upload/upload-image.js';
    const [url, endpoint, file] = process.argv.slice(1);
    const policy = { partSizeMib: 1, concurrency: 4, partMs: 20000, retries: 30, retryMinMs: 1, retryMaxMs: 8 };
    const store = await openStore(url, { s3: { endpoint }, requestMs: 20000, partMs: 20000 });
    Object.assign(store, { limits: { ...store.limits, minPartBytes: 1 } });
    const key = 'early/' + process.pid;
    const { size } = await uploadImage(new RetryingStore(store, policy), { key, source: await fileSource(file), algorithms: ['sha256'], policy });
    console.log('sent', size);`;
  const args = [
    '--input-type=module',
    '-e',
    code,
    `s3://${place.bucket}`,
    place.proxy.endpoint,
    path,
  ];
  const cwd = new URL('../..', import.meta.url).pathname;
  const ran = await run(process.execPath, args, { cwd, timeoutMs: 30_000 });
  expect(ran.stderr).not.toMatch(/Unhandled|MaxListeners/);
  expect(ran).toMatchObject({ exitCode: 0, stdout: `sent ${8 * MIB}\n` });
  expect(place.proxy.log.filter(({ fault }) => fault !== undefined)).toHaveLength(24);
});

test('many early answers leave no connection open', async () => {
  // Parts that no socket's buffer holds: they are still on their way when the answer comes.
  const registry = await place.registry({ retries: 40, partSizeMib: 16 });
  const { source } = await place.source(64 * MIB);
  const before = await place.proxy.connections();
  place.injectFault('part', { ...SLOW_DOWN, early: true }, 40);
  await registry.uploadData(randomUUID(), 'vda.raw', source);
  await expect
    .poll(() => place.proxy.connections())
    .toBeLessThanOrEqual(before + POLICY.concurrency + 1);
});
