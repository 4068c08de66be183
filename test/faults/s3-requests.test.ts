// Each kind of request against each kind of fault: tried again as often as said, or not at all.
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { PartUpload } from '#built/store/object-store.js';
import type { RetryingStore } from '#built/store/retrying/retrying-store.js';
import type { Fault } from '../support/faulty-proxy.ts';
import { type FaultyPlace, MIB, makeFaultyPlace, POLICY } from './s3-place.ts';
import {
  EXPIRED,
  INTERNAL_ERROR,
  INVALID_KEY,
  LIES,
  type RequestKind,
  SLOW_DOWN,
} from './s3-schedule.ts';

let place: FaultyPlace;
beforeAll(async () => {
  place = await makeFaultyPlace();
});
afterEach(() => place.heal());
afterAll(() => place.proxy.stop());

const BODY = Buffer.from('{"a":"small object"}');

/** Makes one request of the kind succeed where the server does, and looks at what came of it. */
interface Act {
  kind: RequestKind;
  run(store: RetryingStore): Promise<void>;
}

const ACTS: readonly Act[] = [
  {
    kind: 'put',
    run: async (store) => {
      const key = randomUUID();
      await store.create(key, BODY);
      expect(Buffer.from((await store.read(key)) ?? [])).toEqual(BODY);
    },
  },
  {
    kind: 'get',
    run: async (store) => {
      expect(Buffer.from((await store.read('there')) ?? [])).toEqual(BODY);
    },
  },
  {
    kind: 'head',
    run: async (store) => {
      expect(await store.stat('there')).toMatchObject({ size: BODY.length });
    },
  },
  {
    kind: 'list',
    run: async (store) => {
      const keys: string[] = [];
      for await (const { key } of store.list('there')) keys.push(key);
      expect(keys).toEqual(['there']);
    },
  },
  {
    kind: 'uploads',
    run: async (store) => {
      const ids: string[] = [];
      for await (const { uploadId } of store.listUploads('open')) ids.push(uploadId);
      expect(ids).toEqual([open.uploadId]);
    },
  },
  {
    kind: 'parts',
    run: async (store) => {
      const parts = await store.resumeUpload(open.key, open.uploadId).listParts();
      expect(parts.map(({ number }) => number)).toEqual([1]);
    },
  },
  {
    kind: 'start',
    run: async (store) => {
      const upload = await store.startUpload(`start-${randomUUID()}`);
      expect(await uploadsOf(store, upload.key)).toEqual([upload.uploadId]);
      await upload.abort();
    },
  },
  {
    kind: 'complete',
    run: async (store) => {
      const { upload, parts } = await uploadPart(store, `complete-${randomUUID()}`);
      expect(await upload.complete(parts)).toMatchObject({ size: BODY.length });
      expect(await uploadsOf(store, upload.key)).toEqual([]);
    },
  },
  {
    kind: 'abort',
    run: async (store) => {
      const upload = await store.startUpload(`abort-${randomUUID()}`);
      await upload.abort();
      expect(await uploadsOf(store, upload.key)).toEqual([]);
    },
  },
  {
    kind: 'delete',
    run: async (store) => {
      const key = randomUUID();
      await store.create(key, BODY);
      await store.remove([key]);
      expect(await store.stat(key)).toBeUndefined();
    },
  },
];

let open: PartUpload;
beforeAll(async () => {
  const store = await place.retrying();
  await store.create('there', BODY);
  ({ upload: open } = await uploadPart(store, 'open'));
});

async function uploadPart(store: RetryingStore, key: string) {
  const upload = await store.startUpload(key);
  const body = { start: 0, length: BODY.length, open: () => Readable.from([BODY]) };
  return { upload, parts: [await upload.putPart(1, body)] };
}

async function uploadsOf(store: RetryingStore, key: string): Promise<string[]> {
  const ids: string[] = [];
  for await (const { uploadId } of store.listUploads(key)) ids.push(uploadId);
  return ids;
}

const PASSING: readonly (readonly [string, Fault])[] = [
  ['is reset before the server hears of it', 'reset'],
  ['is reset in the middle', 'reset-middle'],
  ['loses its answer', 'lose'],
  ['gets a part of the answer with the length of all of it', 'short'],
  ['gets a part of the answer in chunks', 'cut'],
  ['gets a part of the answer and an orderly end', 'closed'],
  ['reaches the server twice', 'twice'],
  ['is answered 500', INTERNAL_ERROR],
  ['is answered 500 after it took effect', { ...INTERNAL_ERROR, after: true }],
  ['is answered 503 SlowDown', SLOW_DOWN],
  ['is answered 503 before it was read', { ...SLOW_DOWN, early: true }],
  ['gets an answer that is no HTTP', 'garbage'],
];

describe.each(ACTS)('a request: $kind', ({ kind, run }) => {
  // A repeated POST starts two uploads, and the client knows only one of them: no relay repeats a POST.
  const passing = PASSING.filter(([, fault]) => !(kind === 'start' && fault === 'twice'));

  test.each(passing)('succeeds if it %s', async (_what, fault) => {
    const store = await place.retrying();
    place.injectFault(kind, fault, 1);
    await run(store);
    expect(place.proxy.log.filter((seen) => seen.fault !== undefined)).toHaveLength(1);
  });

  test('that always fails with 503 is made exactly retries + 1 times', async () => {
    const store = await place.retrying();
    place.injectFault(kind, SLOW_DOWN);
    const error = await failureOf(run(store));
    expect(error).toMatchObject({
      retryable: true,
      code: expect.stringMatching(/^(REGISTRY|UPLOAD)$/),
    });
    expect(place.count(kind)).toBe(1 + POLICY.retries);
  });

  test.each([
    ['an expired token', EXPIRED, 'REGISTRY'],
    ['a key that is no longer known', INVALID_KEY, 'REGISTRY'],
    [
      'a server that cannot do it',
      { status: 501, body: '<Error><Code>NotImplemented</Code></Error>' },
      '',
    ],
  ] as const)('is made once if it meets %s', async (_what, fault, code) => {
    const store = await place.retrying();
    place.injectFault(kind, fault);
    const error = await failureOf(run(store));
    expect(error).toMatchObject({ retryable: false });
    if (code !== '') {
      expect(error).toMatchObject({
        code,
        hint: expect.stringContaining('check the credentials'),
      });
    }
    // A server without conditional requests answers the same, so it is retried without the condition.
    const isConditional = code === '' && (kind === 'put' || kind === 'complete');
    expect(place.count(kind)).toBe(isConditional ? 2 : 1);
  });
});

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => {
      throw new Error('it did not fail');
    },
    (error: unknown) => error,
  );
}

describe('a false success', () => {
  const EMPTY = { status: 200, body: '' };
  const PORTAL = { status: 200, body: '<html><body>Please log in</body></html>' };

  test.each([
    ['nothing', EMPTY],
    ['a portal', PORTAL],
    ['an error', LIES],
  ])(
    'a listing that is answered by %s is not taken for an empty registry',
    async (_what, fault) => {
      const store = await place.retrying();
      for (const [kind, list] of [
        ['list', () => store.list('')],
        ['list', () => store.listFolders('')],
        ['uploads', () => store.listUploads('')],
      ] as const) {
        place.injectFault(kind, fault);
        const read = async () => {
          for await (const item of list()) throw new Error(`there is ${JSON.stringify(item)}`);
        };
        expect(await failureOf(read())).toMatchObject({ code: 'REGISTRY', retryable: true });
      }
      place.injectFault('parts', fault);
      const parts = store.resumeUpload(open.key, open.uploadId).listParts();
      expect(await failureOf(parts)).toMatchObject({ retryable: true });
    },
  );

  test('a truncated listing without a token for the next page fails', async () => {
    const store = await place.retrying({ retries: 0 });
    const body = `<ListBucketResult><Name>${place.bucket}</Name><KeyCount>0</KeyCount><IsTruncated>true</IsTruncated></ListBucketResult>`;
    place.injectFault('list', { status: 200, body });
    expect(await failureOf(store.list('').next())).toMatchObject({
      message: expect.stringContaining('the next page is not named'),
    });
  });

  test('a listing with fewer keys than its KeyCount fails', async () => {
    const store = await place.retrying({ retries: 0 });
    const body = `<ListBucketResult><Name>${place.bucket}</Name><KeyCount>3</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>`;
    place.injectFault('list', { status: 200, body });
    expect(await failureOf(store.list('').next())).toMatchObject({
      message: expect.stringContaining('it should have 3 keys'),
    });
  });

  test.each(['put', 'start'] as const)('a %s that a portal answers is retried', async (kind) => {
    const store = await place.retrying();
    const act = ACTS.find((each) => each.kind === kind);
    place.injectFault(kind, PORTAL, 1);
    await act?.run(store);
    expect(place.count(kind)).toBeGreaterThan(1);
  });

  test('a 404 of a relay does not mean that an object or an upload is missing', async () => {
    const store = await place.retrying();
    place.injectFault('get', { status: 404, body: '<html>no backend</html>' });
    expect(await failureOf(store.read('there'))).toMatchObject({ code: 'REGISTRY' });
    place.injectFault('abort', { status: 404, body: '' });
    const abort = store.resumeUpload(open.key, open.uploadId).abort();
    expect(await failureOf(abort)).toMatchObject({ message: expect.stringContaining('404') });
  });
});

describe('the message of a server', () => {
  test('is shown without the key, the signature and the token that it repeats', async () => {
    const store = await place.retrying();
    const said =
      'AWS4-HMAC-SHA256 Credential=AKIAPLANTED1234567/20250101, Signature=0badc0de X-Amz-Security-Token: planted-token';
    const body = `<Error><Code>Strange</Code><Message>no: ${said}</Message></Error>`;
    place.injectFault('list', { status: 400, body });
    const error = await failureOf(store.list('').next());
    const shown =
      String((error as Error).message) + String(((error as Error).cause as Error).message);
    expect(shown).toContain('Strange');
    for (const secret of ['AKIAPLANTED1234567', '0badc0de', 'planted-token']) {
      expect(shown).not.toContain(secret);
    }
  });
});

describe('a completion whose outcome cannot be seen', () => {
  test('is retried until the object is seen', async () => {
    const store = await place.retrying();
    const { upload, parts } = await uploadPart(store, `unseen-${randomUUID()}`);
    // It takes effect; then its answer, the look, and what the server says of the second are lost.
    const faults: Partial<Record<string, Fault[]>> = { POST: ['lose'], HEAD: ['reset', 'reset'] };
    place.proxy.fault = (method) => faults[method]?.shift();
    expect(await upload.complete(parts)).toMatchObject({ size: BODY.length });
    expect(await uploadsOf(store, upload.key)).toEqual([]);
  });

  test('fails with the error of the look-up, not with PRECONDITION_LOST', async () => {
    const store = await place.retrying();
    const { upload, parts } = await uploadPart(store, `unseen-${randomUUID()}`);
    const faults: Partial<Record<string, Fault[]>> = { POST: ['lose'] };
    place.proxy.fault = (method) => (method === 'HEAD' ? EXPIRED : faults[method]?.shift());
    const error = await failureOf(upload.complete(parts));
    expect(error).not.toMatchObject({ code: 'PRECONDITION_LOST' });
  });
});

describe('a start whose answers are lost', () => {
  test('leaves no upload open, after any number of retries', async () => {
    const registry = await place.registry();
    const { source } = await place.source(MIB);
    place.injectFault('start', 'lose');
    const error = await failureOf(registry.uploadData(randomUUID(), 'vda.raw', source));
    expect(error).toMatchObject({ code: 'UPLOAD', retryable: true, undoFailures: [] });
    expect(place.count('start')).toBe(1 + POLICY.retries);
    expect(await place.openUploads('images/')).toEqual([]);
  });

  test('reports uploads that may stay open if they cannot be listed', async () => {
    const registry = await place.registry();
    const { source } = await place.source(MIB);
    const id = randomUUID();
    const starts: Fault[] = ['lose'];
    place.proxy.fault = (method, url) => {
      if (!url.includes('uploads')) return undefined;
      return method === 'POST' ? starts.shift() : SLOW_DOWN;
    };
    expect(await failureOf(registry.uploadData(id, 'vda.raw', source))).toMatchObject({
      message: expect.stringContaining('may stay open'),
      undoFailures: [expect.any(Error)],
    });
    place.heal();
    const store = await place.retrying();
    for (const uploadId of await uploadsOf(store, `images/${id}/`)) {
      await store.resumeUpload(`images/${id}/vda.raw`, uploadId).abort();
    }
  });

  test('leaves no upload open if it is interrupted', async () => {
    const registry = await place.registry();
    const { source } = await place.source(MIB);
    const controller = new AbortController();
    place.injectFault('start', 'stall-after');
    const { signal } = controller;
    const failure = failureOf(registry.uploadData(randomUUID(), 'vda.raw', source, { signal }));
    await expect.poll(() => place.openUploads('images/')).toHaveLength(1);
    controller.abort();
    expect(await failure).toMatchObject({ code: 'INTERRUPTED' });
    expect(await place.openUploads('images/')).toEqual([]);
  });
});

test('`abort` is retried after a conflict with a request whose answer was lost', async () => {
  const store = await place.retrying();
  const upload = await store.startUpload(`abort-${randomUUID()}`);
  place.injectFault(
    'abort',
    { status: 409, body: '<Error><Code>BucketAlreadyExists</Code></Error>' },
    2,
  );
  await upload.abort();
  expect(place.count('abort')).toBe(3);
  expect(await uploadsOf(store, upload.key)).toEqual([]);
});
