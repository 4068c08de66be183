// An S3 server that means ill: its lists, bodies and sizes end nowhere, and every command ends all the same.
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { openRegistry, type Registry } from '#built/registry/registry.js';
import type { ObjectStore } from '#built/store/object-store.js';
import { openStore } from '#built/store/open-store.js';
import { fileSource } from '#built/transfer/upload/file-source.js';
import { type FaultyProxy, startFaultyProxy } from '../support/faulty-proxy.ts';
import { lab } from '../support/lab.ts';
import { bucketPlace, type Place, scratchFolder } from './places.ts';

const MIB = 1024 ** 2;

let place: Place;
let proxy: FaultyProxy;
let folder: string;
let id: string;
beforeAll(async () => {
  place = await bucketPlace();
  proxy = await startFaultyProxy(lab().s3.endpoint);
  folder = await scratchFolder();
  const registry = await openRegistry(place.url, place.options);
  ({ id } = await registry.queueImage({ name: 'hostile', disk_format: 'raw' }));
  await registry.markSaving(id);
  const data = join(folder, 'data');
  await writeFile(data, randomBytes(3 * MIB));
  const { digests, size } = await registry.uploadData(id, 'vda.raw', await fileSource(data));
  await registry.activateImage(id, { data: { name: 'vda.raw', size, sha256: digests.sha256 } });
});
afterAll(() => proxy.stop());
afterEach(() => {
  proxy.fault = () => undefined;
  proxy.seen.length = 0;
});

const NO_RETRIES = { retries: 0, retryMinMs: 1, retryMaxMs: 1 };
function openHostile(ms = 20_000): Promise<ObjectStore> {
  const s3 = { ...place.options.s3, endpoint: proxy.endpoint };
  return openStore(place.url, { s3, requestMs: ms, partMs: ms });
}

function openHostileRegistry(ms = 20_000): Promise<Registry> {
  const s3 = { ...place.options.s3, endpoint: proxy.endpoint };
  const upload = { ...NO_RETRIES, partMs: ms };
  return openRegistry(place.url, { s3, requestTimeoutMs: ms, upload });
}

type Hostile = (outgoing: ServerResponse, incoming: IncomingMessage) => void;

function answer(fits: RegExp, hostile: Hostile): void {
  proxy.fault = (method, url) => (fits.test(`${method} ${url}`) ? { hostile } : undefined);
}

/** Sends a piece for as long as it is taken, and never ends. */
function endless(outgoing: ServerResponse, piece: string | Buffer): void {
  const send = () => {
    while (!outgoing.destroyed && outgoing.write(piece));
  };
  outgoing.on('drain', send);
  send();
}

const prefix = () => `${new URL(place.url.replace('s3:', 'http:')).pathname.slice(1)}/`;

function page(keys: readonly string[], next: string | undefined): string {
  const contents = keys.map(
    (key) => `<Contents><Key>${prefix()}${key}</Key><Size>1</Size></Contents>`,
  );
  const more = next === undefined ? '' : `<NextContinuationToken>${next}</NextContinuationToken>`;
  return `<?xml version="1.0"?><ListBucketResult><KeyCount>${keys.length}</KeyCount>${contents.join('')}<IsTruncated>${next !== undefined}</IsTruncated>${more}</ListBucketResult>`;
}

async function all(items: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _item of items) count += 1;
  return count;
}

describe('a list', () => {
  const LIST = /^GET .*list-type=2/;
  const endsNot = { code: 'REGISTRY', retryable: false };

  test('fails if a continuation token repeats', async () => {
    answer(LIST, (outgoing) => void outgoing.end(page(['images/a'], 'same')));
    const store = await openHostile();
    await expect(all(store.list('images/'))).rejects.toMatchObject(endsNot);
    answer(LIST, (outgoing) => void outgoing.end(page([], 'same')));
    await expect(all(store.list('images/'))).rejects.toMatchObject(endsNot);
    expect(proxy.seen.length).toBeLessThan(6);
  });

  test('fails if pages with new tokens are empty or repeat', async () => {
    let token = 0;
    const store = await openHostile();
    for (const keys of [[], ['images/a']]) {
      answer(LIST, (outgoing) => void outgoing.end(page(keys, `t${token++}`)));
      await expect(all(store.list('images/'))).rejects.toMatchObject(endsNot);
    }
    expect(proxy.seen.length).toBeLessThan(110);
  });

  test('fails if it has keys outside the prefix', async () => {
    answer(LIST, (outgoing) => void outgoing.end(page(['aliases/a'], undefined)));
    const store = await openHostile();
    await expect(all(store.list('images/'))).rejects.toMatchObject({ code: 'REGISTRY' });
  });

  test('fails if a page is endless or nested without end', async () => {
    const store = await openHostile();
    const before = process.memoryUsage().rss;
    answer(LIST, (outgoing) => endless(outgoing, `<ListBucketResult>${' '.repeat(65_536)}`));
    await expect(all(store.list('images/'))).rejects.toMatchObject(endsNot);
    answer(LIST, (outgoing) => {
      outgoing.end(`<ListBucketResult>${'<a>'.repeat(1_000_000)}`);
    });
    await expect(all(store.list('images/'))).rejects.toMatchObject(endsNot);
    expect(process.memoryUsage().rss - before).toBeLessThan(300 * MIB);
  });

  test('fails by its status if an error has such a body', async () => {
    const store = await openHostile();
    for (const body of ['<a>'.repeat(1_000_000), '<!DOCTYPE html><html><p><p></html>']) {
      answer(LIST, (outgoing) => void outgoing.writeHead(503).end(body));
      await expect(all(store.list('images/'))).rejects.toMatchObject({ retryable: true });
    }
    answer(LIST, (outgoing) => endless(outgoing.writeHead(503), '<Error>'.repeat(1000)));
    await expect(all(store.list('images/'))).rejects.toMatchObject({ code: 'REGISTRY' });
  });
});

test('a list fails after five thousand pages', async () => {
  let page_ = 0;
  answer(/list-type=2/, (outgoing) => {
    page_ += 1;
    const number = String(page_).padStart(8, '0');
    outgoing.end(page([`images/${number}`], number));
  });
  const store = await openHostile();
  await expect(all(store.list('images/'))).rejects.toMatchObject({
    code: 'REGISTRY',
    message: expect.stringContaining('more than 5000 pages'),
  });
});

test('lists of folders, uploads and parts fail if a marker repeats', async () => {
  const store = await openHostile();
  const more = '<IsTruncated>true</IsTruncated>';
  answer(/delimiter/, (outgoing) => void outgoing.end(page([], 'same')));
  await expect(all(store.listFolders('images/'))).rejects.toMatchObject({ code: 'REGISTRY' });
  const uploads = `<ListMultipartUploadsResult>${more}<NextKeyMarker>k</NextKeyMarker></ListMultipartUploadsResult>`;
  answer(/uploads/, (outgoing) => void outgoing.end(uploads));
  await expect(all(store.listUploads('images/'))).rejects.toMatchObject({ code: 'REGISTRY' });
  const parts = `<ListPartsResult>${more}<NextPartNumberMarker>7</NextPartNumberMarker></ListPartsResult>`;
  answer(/uploadId/, (outgoing) => void outgoing.end(parts));
  const upload = store.resumeUpload('images/x/vda.raw', 'id');
  await expect(upload.listParts()).rejects.toMatchObject({ code: 'UPLOAD' });
});

describe('a record', () => {
  const RECORD = /^GET .*record/;

  test('with an endless body is not read to memory', async () => {
    const before = process.memoryUsage().rss;
    answer(RECORD, (outgoing) =>
      endless(outgoing.writeHead(200, { etag: '"x"' }), '{'.repeat(65_536)),
    );
    const registry = await openHostileRegistry();
    await expect(registry.getImage(id)).rejects.toMatchObject({ name: 'PublishError' });
    expect(process.memoryUsage().rss - before).toBeLessThan(300 * MIB);
  });

  test('with an incomplete or trickling body is an outage', async () => {
    answer(RECORD, (outgoing) => {
      outgoing.writeHead(200, { 'content-length': 100 }).write('{', () => outgoing.destroy());
    });
    const registry = await openHostileRegistry(1500);
    await expect(registry.getImage(id)).rejects.toMatchObject({ code: 'REGISTRY' });
    answer(RECORD, (outgoing) => {
      outgoing.writeHead(200, { 'content-length': 100_000 });
      const timer = setInterval(() => outgoing.write(' '), 100);
      outgoing.on('close', () => clearInterval(timer));
    });
    await expect(registry.getImage(id)).rejects.toMatchObject({ code: 'REGISTRY' });
  });

  test('with endless headers is an outage', async () => {
    answer(RECORD, (outgoing) => {
      const { socket } = outgoing;
      socket?.write('HTTP/1.1 200 OK\r\n');
      const send = () => {
        while (socket?.writable && socket.write(`x-a: ${'a'.repeat(1000)}\r\n`));
      };
      socket?.on('drain', send);
      socket?.on('error', () => undefined);
      send();
    });
    const registry = await openHostileRegistry();
    await expect(registry.getImage(id)).rejects.toMatchObject({ code: 'REGISTRY' });
  });
});

describe('the data of an image', () => {
  const DATA = /^GET .*vda.raw/;
  const bytes = Buffer.alloc(65_536, 1);

  test('that is endless ends `pull`, `verify` and `copy`', async () => {
    answer(DATA, (outgoing) => endless(outgoing.writeHead(206, { etag: '"x"' }), bytes));
    const registry = await openHostileRegistry();
    const pull = registry.pullImage(id, join(folder, 'endless'));
    await expect(pull).rejects.toMatchObject({ code: 'INTEGRITY' });
    const to = await openRegistry(join(folder, 'copies'));
    await expect(registry.copyImage(id, to)).rejects.toMatchObject({ code: 'INTEGRITY' });
    proxy.fault = (method, url) => {
      const isData = DATA.test(`${method} ${url}`);
      return isData
        ? { hostile: (outgoing) => endless(outgoing.writeHead(200), bytes) }
        : undefined;
    };
    const { problems } = await registry.verifyImage(id);
    expect(problems).toEqual([expect.stringMatching(/^vda.raw has \d+ bytes instead of/)]);
    proxy.fault = () => undefined;
    await registry.reactivateImage(id);
  });

  test('that trickles is an outage for `pull` and `verify`', async () => {
    answer(DATA, (outgoing) => {
      outgoing.writeHead(206, { 'content-length': 3 * MIB, etag: '"x"' });
      const timer = setInterval(() => outgoing.write('a'), 100);
      outgoing.on('close', () => clearInterval(timer));
    });
    const registry = await openHostileRegistry(1500);
    await expect(registry.pullImage(id, join(folder, 'slow'))).rejects.toMatchObject({
      code: 'REGISTRY',
    });
    await expect(registry.verifyImage(id)).rejects.toMatchObject({ code: 'REGISTRY' });
  });

  test("with another size than the record's is damaged", async () => {
    answer(/^HEAD .*vda.raw/, (outgoing) => {
      outgoing.writeHead(200, { 'content-length': 9_000_000_000_000_000, etag: '"x"' }).end();
    });
    const registry = await openHostileRegistry();
    await expect(registry.pullImage(id, join(folder, 'large'))).rejects.toMatchObject({
      code: 'INTEGRITY',
    });
  });
});
