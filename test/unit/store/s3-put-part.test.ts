// A part that goes past the SDK's middleware: sent, refused and told as the SDK does it, or left to it.
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { openS3Store } from '#built/store/s3/s3-store.js';

interface Seen {
  by: 'SDK' | 'us';
  path: string;
  query: Record<string, string>;
  headers: IncomingHttpHeaders;
  body: string;
}

const BODY = Buffer.from('the bytes of a part');
const DONE = { status: 200, body: '', etag: '"00"' };
type Answer = { status: number; body: string; etag?: string };

let server: Server;
let seen: Seen[];
let answers: Answer[];

beforeAll(async () => {
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'key');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret');
  vi.stubEnv('AWS_SESSION_TOKEN', 'token');
  server = createServer(async (request, response) => {
    const { headers, url = '' } = request;
    const by = headers['user-agent']?.includes('aws-sdk') ? 'SDK' : 'us';
    const { pathname: path, searchParams } = new URL(url, 'http://host');
    const body = (await buffer(request)).toString();
    seen.push({ by, path, query: Object.fromEntries(searchParams), headers, body });
    const { status, body: said, etag } = answers.shift() ?? DONE;
    response.writeHead(status, etag === undefined ? {} : { etag }).end(said);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});

afterAll(() => {
  vi.unstubAllEnvs();
  server.closeAllConnections();
  server.close();
});

/** `below` the server's root an endpoint is the SDK's alone. */
async function openUpload(below = '') {
  [seen, answers] = [[], []];
  const { port } = server.address() as AddressInfo;
  const at = { endpoint: `http://127.0.0.1:${port}${below}`, region: 'us-east-1' };
  const times = { requestMs: 5000, partMs: 5000 };
  const store = await openS3Store({ ...at, ...times, bucket: 'bucket', prefix: 'a b' });
  const upload = store.resumeUpload("images/ä(1)'s!*+.raw", '2~an/id+=');
  const body = { start: 0, length: BODY.length, open: () => Readable.from([BODY]) };
  return { put: (sums = {}) => upload.putPart(7, { ...body, ...sums }) };
}

describe('a part', () => {
  test.each([{ md5: '0'.repeat(32) }, { crc32c: '01020304' }, {}])(
    'with the sums %j goes as the SDK sends it',
    async (sums) => {
      const sent = [];
      for (const below of ['/', '/below']) {
        await (await openUpload(below)).put(sums);
        const [{ by, path, query, headers, body } = raise()] = seen;
        const { 'x-id': _id, ...rest } = query;
        const told = ['content-', 'x-amz-content', 'x-amz-sdk', 'x-amz-check', 'x-amz-security'];
        const facts = Object.entries(headers).filter(([name]) =>
          told.some((n) => name.startsWith(n)),
        );
        sent.push({ by, path: path.replace('/below', ''), query: rest, facts: facts.sort(), body });
        expect(headers.authorization).toMatch(/;x-amz-security-token[;,]/);
        expect(headers['x-amz-content-sha256']).toBe('UNSIGNED-PAYLOAD');
      }
      expect(sent).toEqual([
        { ...sent[1], by: 'us' },
        { ...sent[1], by: 'SDK' },
      ]);
    },
  );

  const error = (code: string, message = '') =>
    `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`;

  test.each<Answer>([
    { status: 503, body: error('SlowDown', 'so &amp; so') },
    { status: 400, body: error('BadDigest', 'other bytes') },
    { status: 403, body: error('AccessDenied') },
    { status: 403, body: '' },
    { status: 404, body: error('NoSuchUpload', 'gone') },
    { status: 404, body: '<html>no backend</html>' },
    { status: 500, body: '' },
    { status: 200, body: error('InternalError', 'after all'), etag: '"00"' },
    { status: 200, body: '<html>log in</html>' },
  ])('that is answered $status $body is told as by the SDK', async (answer) => {
    const told: unknown[] = [];
    for (const below of ['', '/below']) {
      const upload = await openUpload(below);
      answers = [answer];
      const failed: Error = await upload.put().then(raise, (reason) => reason);
      const message = failed.message.replace('/below', '');
      told.push({ ...failed, message, cause: String(failed.cause) });
      expect(seen.map(({ by }) => by)).toEqual([below === '' ? 'us' : 'SDK']);
    }
    expect(told[0]).toEqual(told[1]);
  });

  test.each<Answer>([
    { status: 403, body: error('SignatureDoesNotMatch') },
    { status: 403, body: error('RequestTimeTooSkewed') },
    { status: 307, body: error('TemporaryRedirect') },
    { status: 204, body: '' },
  ])(
    'that is answered $status $body is sent again by the SDK, as are all after it',
    async (answer) => {
      const upload = await openUpload();
      await upload.put();
      answers = [answer];
      expect(await upload.put()).toEqual({ number: 7, size: BODY.length, etag: '00' });
      await upload.put();
      expect(seen.map(({ by }) => by)).toEqual(['us', 'us', 'SDK', 'SDK']);
      expect(new Set(seen.map(({ body }) => body))).toEqual(new Set([String(BODY)]));
    },
  );
});

function raise(): never {
  throw new Error('it did not fail, or was not sent');
}
