// A redirect from a public address to this host is not followed: tried in a network of its own.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { must } from '../support/exec.ts';

const download = new URL('../../build/operations/import/fetch/download.js', import.meta.url).href;

/** Public by its number; in the new network namespace it is this host's. */
const PUBLIC = '11.22.33.44';

const SCRIPT = `
  import { createServer } from 'node:http';
  const { openDownload } = await import('${download}');
  const asked = [];
  const serve = (host) => new Promise((done) => {
    const server = createServer((request, answer) => {
      asked.push(request.url);
      const to = new URL(request.url, 'http://x').searchParams.get('to');
      if (to) return answer.writeHead(302, { location: to }).end();
      answer.end('data');
    });
    server.listen(0, host, () => done(server.address().port));
  });
  const [open, secret] = [await serve('${PUBLIC}'), await serve('127.0.0.1')];
  const options = { allowPrivate: false, maxBytes: 100, idleMs: 5000, signal: AbortSignal.timeout(20000) };
  const outcome = async (url, more) => {
    try {
      const { body } = await openDownload(url, { ...options, ...more });
      let text = '';
      for await (const chunk of body) text += chunk;
      return text;
    } catch (error) {
      return error.code + ' ' + error.hint;
    }
  };
  const to = (url) => 'http://${PUBLIC}:' + open + '/?to=' + encodeURIComponent(url);
  const local = 'http://127.0.0.1:' + secret + '/secret';
  console.log(JSON.stringify({
    plain: await outcome('http://${PUBLIC}:' + open + '/plain'),
    across: await outcome(to('/plain')),
    loopback: await outcome(to(local)),
    twice: await outcome(to(to(local))),
    name: await outcome(to('http://localhost:' + secret + '/secret')),
    allowed: await outcome(to(local), { allowPrivate: true }),
    asked: asked.filter((url) => url === '/secret').length,
  }));
  process.exit(0);
`;

it('`import` refuses redirects to this host, at any step and by name, unless allowed', async () => {
  const inside = [
    'ip link set lo up',
    `ip addr add ${PUBLIC}/32 dev lo`,
    `exec "${process.execPath}" --input-type=module -e "$SCRIPT"`,
  ].join(' && ');
  const env = { ...process.env, SCRIPT };
  const printed = await must('unshare', ['-n', 'sh', '-c', inside], { env });
  const refused = expect.stringMatching(/^DOWNLOAD .*--allow-private/);
  expect(JSON.parse(printed)).toEqual({
    ...{ plain: 'data', across: 'data', allowed: 'data' },
    ...{ loopback: refused, twice: refused, name: refused, asked: 1 },
  });
  expect(readFileSync('/etc/hosts', 'utf8')).toContain('localhost');
});
