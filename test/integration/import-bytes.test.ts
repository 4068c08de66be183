// `import` compares names and encodings with the bytes, and refuses files that others can change.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  copyFileSync,
  lchownSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { open, readdir, writeFile } from 'node:fs/promises';
import { createServer, type OutgoingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeBounded } from '#built/operations/import/fetch/write-bounded.js';
import { type CliOptions, makeSandbox, runCli, type Sandbox } from '../support/cli.ts';
import { must } from '../support/exec.ts';
import { makeSmallDisk } from '../support/small-disk.ts';

const MIB = 1024 * 1024;

let sandbox: Sandbox;
let folder = '';
let qcow2: Buffer;

beforeAll(async () => {
  sandbox = await makeSandbox();
  folder = sandbox.dir;
  writeFileSync(join(folder, 'random.raw'), randomBytes(MIB));
  const args = ['-f', 'raw', '-O', 'qcow2', join(folder, 'random.raw'), join(folder, 'good.qcow2')];
  await must('qemu-img', ['convert', ...args]);
  qcow2 = readFileSync(join(folder, 'good.qcow2'));
});

interface Imported {
  id: string;
  disk_format: string;
  virtual_size: number;
  data: { name: string; sha256: string };
}

type Options = Omit<CliOptions, 'sandbox'>;

async function importImage(args: readonly string[], options: Options = {}): Promise<Imported> {
  const ran = await runCli(['import', ...args, '--name', 'good', '--json'], {
    sandbox,
    ...options,
  });
  expect(ran.exitCode, ran.stdout.slice(-2000) + ran.stderr).toBe(0);
  return (ran.events.at(-1) as { image: Imported }).image;
}

async function failToImport(args: readonly string[], options: Options = {}) {
  const ran = await runCli(['import', ...args, '--name', 'bad', '--json'], { sandbox, ...options });
  const { code, message } = ran.events.at(-1) as { code: string; message: string };
  expect(await readdir(join(sandbox.stateDir, 'runs')).catch(() => [])).toEqual([]);
  return { exitCode: ran.exitCode, code, message };
}

function file(name: string, bytes: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

describe('a file', () => {
  it('of zstd frames behind a skippable one, like those of pzstd, is unpacked', async () => {
    const frame = Buffer.from('502a4d180400000001000000', 'hex');
    await must('zstd', ['-q', '-f', join(folder, 'random.raw'), '-o', join(folder, 'one.zst')]);
    const packed = Buffer.concat([frame, readFileSync(join(folder, 'one.zst'))]);
    for (const name of ['random.raw.zst', 'download']) {
      const { data } = await importImage([file(name, packed)]);
      expect(data.sha256, name).toBe(sha256(readFileSync(join(folder, 'random.raw'))));
    }
  });

  it('packed by other programs is refused by name', async () => {
    await must('xz', ['-k', '-f', '--format=lzma', join(folder, 'random.raw')]);
    await must('tar', ['--format=v7', '-cf', join(folder, 'old'), '-C', folder, 'random.raw']);
    for (const [name, expected] of [
      ['random.raw.lzma', /is LZMA/],
      ['old', /is tar/],
    ] as const)
      expect(await failToImport([join(folder, name)])).toMatchObject({
        ...{ exitCode: 45, code: 'IMAGE_REFUSED' },
        message: expect.stringMatching(expected),
      });
  });

  it('whose name contradicts its bytes is refused, and accepted with --format', async () => {
    const film = file('FILM.VMDK', randomBytes(MIB));
    expect(await failToImport([film])).toMatchObject({
      ...{ exitCode: 45, code: 'IMAGE_REFUSED' },
      message: expect.stringContaining('not vmdk as its name says'),
    });
    expect(await importImage([film, '--format', 'raw'])).toMatchObject({ disk_format: 'raw' });
    const inner = file('inner.vdi.gz', gzipSync(qcow2));
    expect((await failToImport([inner])).message).toContain('not vdi as its name says');
    const page = file('page.img', '<html><body>Please log in</body></html>');
    expect((await failToImport([page])).message).toContain('an HTML page');
  });

  it('is compared with --sha256 as it is, before it is unpacked', async () => {
    const bytes = gzipSync(qcow2);
    const path = file('listed.qcow2.gz', bytes);
    const digest = sha256(bytes).toUpperCase();
    expect(await importImage([path, '--sha256', digest])).toMatchObject({ disk_format: 'qcow2' });
    expect(await failToImport([path, '--sha256', sha256(qcow2)])).toMatchObject({
      ...{ exitCode: 42, code: 'INTEGRITY' },
      message: expect.stringContaining(sha256(bytes)),
    });
    const malformed = await failToImport([path, '--sha256', `sha256:${digest}`]);
    expect(malformed).toMatchObject({ exitCode: 2, code: 'USAGE' });
  });

  it('with holes has them in a directory registry too', async () => {
    const path = file('sparse.raw', randomBytes(MIB));
    await must('truncate', ['-s', '300M', path]);
    await must('dd', [`if=${path}`, `of=${path}`, 'bs=1M', 'seek=200', 'count=1', 'conv=notrunc']);
    const image = await importImage([path]);
    const stored = join(sandbox.stateDir, 'registry/images', image.id, image.data.name);
    expect(statSync(stored).size).toBe(300 * MIB);
    expect(statSync(stored).blocks * 512).toBeLessThan(4 * MIB);
    await must('cmp', [path, stored]);
  });

  it('that is open for writing, or behind a link of another user, is refused', async () => {
    const path = file('open.raw', randomBytes(MIB));
    const writer = await open(path, 'r+');
    const inUse = await failToImport([path]);
    await writer.close();
    expect(inUse).toMatchObject({ exitCode: 45, message: expect.stringContaining('is open for') });
    const link = join(folder, 'link.raw');
    symlinkSync('/etc/shadow', link);
    lchownSync(link, 65534, 65534);
    expect((await failToImport([link])).message).toContain('a link of another user');
    await must('mkfifo', [join(folder, 'fifo')]);
    const fifo = await failToImport([join(folder, 'fifo')]);
    expect(fifo).toMatchObject({ exitCode: 2, message: expect.stringContaining('is a FIFO') });
  });
});

describe('an ISO', () => {
  it('stays an ISO in record, lists and pulls, and becomes a disk with --convert', async () => {
    const bytes = Buffer.alloc(MIB, 'cd');
    bytes.write('CD001', 0x8001);
    bytes.write('\x55\xaa', 510, 'latin1');
    const image = await importImage([file('hybrid.iso', bytes), '--alias', 'cd']);
    expect(image).toMatchObject({ disk_format: 'iso', virtual_size: MIB });
    expect(image.data.name).toBe('disk.iso');
    const listed = await runCli(['list', '--disk-format', 'iso', '--json'], { sandbox });
    expect(listed.events.at(-1)).toMatchObject({ images: [{ id: image.id, disk_format: 'iso' }] });
    for (const format of [undefined, 'raw', 'iso', 'qcow2']) {
      const out = join(folder, `pulled.${format}`);
      const flags = format === undefined ? [] : ['--format', format];
      const ran = await runCli(['pull', 'cd', out, ...flags], { sandbox });
      expect(ran.exitCode, ran.stderr).toBe(0);
      const raw = ['-f', format === 'qcow2' ? 'qcow2' : 'raw', '-F', 'raw'];
      await must('qemu-img', ['compare', ...raw, out, join(folder, 'hybrid.iso')]);
    }
    expect(await importImage([join(folder, 'hybrid.iso'), '--format', 'raw'])).toMatchObject({
      disk_format: 'raw',
    });
    const converted = await importImage([join(folder, 'hybrid.iso'), '--convert', 'qcow2']);
    expect(converted).toMatchObject({ disk_format: 'qcow2', virtual_size: MIB });
  });

  it('is never made of a disk, nor by --format', async () => {
    const disk = join(folder, 'good.qcow2');
    const { id } = await importImage([disk]);
    const pulled = await runCli(['pull', id, join(folder, 'no.iso'), '--format', 'iso'], {
      sandbox,
    });
    expect(pulled).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('cannot be conv'),
    });
    expect(await failToImport([disk, '--format', 'iso'])).toMatchObject({ exitCode: 2 });
    expect(await failToImport([file('empty.iso', Buffer.alloc(MIB))])).toMatchObject({
      ...{ exitCode: 45, message: expect.stringContaining('not iso as its name says') },
    });
  });
});

describe('a URL', () => {
  const routes: Record<string, () => [OutgoingHttpHeaders, Buffer | string]> = {
    '/good.qcow2.gz': () => [{ 'content-encoding': 'gzip' }, gzipSync(qcow2)],
    '/many.qcow2': () => [
      { 'content-encoding': 'deflate, br', 'content-type': 'application/octet-stream' },
      brotliCompressSync(deflateRawSync(qcow2)),
    ],
    '/deflate': () => [{ 'content-encoding': 'Deflate' }, deflateSync(qcow2)],
    '/zstd.qcow2': () => [{ 'content-encoding': 'zstd' }, readFileSync(join(folder, 'good.zst'))],
    '/unknown.qcow2': () => [{ 'content-encoding': 'compress' }, qcow2],
    '/bomb.raw': () => [{ 'content-encoding': 'br' }, brotliCompressSync(Buffer.alloc(80 * MIB))],
    '/page': () => [{ 'content-type': 'text/html; charset=utf-8' }, 'Please log in'],
    '/named': () => [{ 'content-disposition': 'attachment; filename="disk.vmdk"' }, qcow2],
    '/film.qcow2': () => [{}, randomBytes(4096)],
  };
  const server = createServer((request, answer) => {
    const { pathname } = new URL(request.url ?? '/', 'http://x');
    if (pathname === '/moved') return answer.writeHead(302, { location: '/film.qcow2?a=b' }).end();
    const [headers, body] = routes[pathname]?.() ?? [{}, ''];
    return answer.writeHead(pathname in routes ? 200 : 404, headers).end(body);
  });
  let base = '';
  const fetched = ['--allow-private', '--max-size', '64M'];

  beforeAll(async () => {
    await must('zstd', ['-q', join(folder, 'good.qcow2'), '-o', join(folder, 'good.zst')]);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  it.each(['/many.qcow2', '/deflate', '/zstd.qcow2'])('%s is decoded', async (path) => {
    const { data } = await importImage([`${base}${path}`, ...fetched]);
    expect(data.sha256).toBe(sha256(qcow2));
  });

  it('is compared with --sha256 as it was sent, and as it was decoded', async () => {
    for (const digest of [sha256(gzipSync(qcow2)), sha256(qcow2)]) {
      const image = await importImage([`${base}/good.qcow2.gz`, ...fetched, '--sha256', digest]);
      expect(image.data.sha256).toBe(sha256(qcow2));
    }
    const wrong = ['--sha256', '0'.repeat(64)];
    const failed = await failToImport([`${base}/many.qcow2`, ...fetched, ...wrong]);
    expect(failed).toMatchObject({ exitCode: 42, code: 'INTEGRITY' });
  });

  it.each([
    ['/unknown.qcow2', /encoded with "compress"/],
    ['/bomb.raw', /more than the 67\.1 MB|more than the 64/],
    ['/page', /text\/html/],
    ['/named', /disk\.vmdk is qcow2 by its bytes/],
    ['/film.qcow2?token=1', /film\.qcow2 is raw by its bytes/],
    ['/moved', /film\.qcow2 is raw by its bytes/],
  ])('%s is refused', async (path, expected) => {
    const { exitCode, message } = await failToImport([`${base}${path}`, ...fetched]);
    expect(message).toMatch(expected);
    expect(exitCode).toBe(45);
  });

  it('is accepted with --format despite its type and names', async () => {
    const page = await importImage([`${base}/page`, ...fetched, '--format', 'raw']);
    expect(page).toMatchObject({ disk_format: 'raw', virtual_size: 512 });
    const named = await importImage([`${base}/named`, ...fetched, '--format', 'qcow2']);
    expect(named).toMatchObject({ disk_format: 'qcow2' });
  });
});

it('a refused import leaves no active image', async () => {
  const ran = await runCli(['list', '--name', 'bad', '--json'], { sandbox });
  expect(ran.events.at(-1)).toMatchObject({ images: [] });
});

describe('a full file system is exit 31', () => {
  it('when bytes are written, and when the file is created', async () => {
    const disk = await makeSmallDisk(96);
    const filler = join(disk.path, 'filler');
    const fill = () =>
      must('dd', ['if=/dev/zero', `of=${filler}`, 'bs=1M', 'count=95']).catch(String);
    async function* chunks() {
      yield randomBytes(MIB);
      await fill();
      for (let written = 0; written < 64; written += 1) yield randomBytes(MIB);
    }
    const reserve = { minBytes: 0, fraction: 0 };
    const { signal } = new AbortController();
    const bounds = { step: 'unpack', maxBytes: 1024 * MIB, reserve, signal } as const;
    const writing = writeBounded(Readable.from(chunks()), join(disk.path, 'image'), bounds);
    await expect(writing).rejects.toMatchObject({ code: 'NO_SPACE' });
    await must('rm', [filler, join(disk.path, 'image')]);
    // No inode is left, and room for data is.
    for (let count = 0; ; count += 1)
      if ((await writeFile(join(disk.path, `${count}`), '').catch(() => 'full')) === 'full') break;
    const making = writeBounded(Readable.from([Buffer.alloc(1)]), join(disk.path, 'more'), bounds);
    await expect(making).rejects.toMatchObject({ code: 'NO_SPACE' });
    copyFileSync(join(folder, 'good.qcow2'), join(folder, 'again.qcow2'));
    const place = ['--work-dir', join(disk.path, 'work')];
    const failed = await failToImport([join(folder, 'again.qcow2'), ...place]);
    expect(failed).toMatchObject({ exitCode: 31, code: 'NO_SPACE' });
  });
});
