// `import` takes all formats and packings, from files and URLs, and refuses hostile images.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  CLI,
  type CliOptions,
  makeSandbox,
  runCli,
  type Sandbox,
  startCli,
} from '../support/cli.ts';
import { must } from '../support/exec.ts';
import { HOSTILE_IMAGES, qcow2 } from '../support/hostile-images.ts';
import { sameContent } from '../support/judges.ts';
import { createBucket, rclone, s3Env } from '../support/s3.ts';

const MIB = 1024 * 1024;
const FORMATS = ['raw', 'qcow2', 'vmdk', 'vdi', 'vhdx'] as const;
const PACKERS = { gz: ['gzip', '-k'], xz: ['xz', '-k', '-T1'], zst: ['zstd', '-q'] } as const;

let sandbox: Sandbox;
let folder = '';
let original = '';

beforeAll(async () => {
  sandbox = await makeSandbox();
  folder = sandbox.dir;
  original = join(folder, 'original.raw');
  await must('qemu-img', ['create', '-q', '-f', 'raw', original, '24M']);
  writeFileSync(join(folder, 'random'), randomBytes(3 * MIB));
  await must('dd', [`if=${folder}/random`, `of=${original}`, 'bs=1M', 'seek=5', 'conv=notrunc']);
  for (const format of FORMATS.filter((each) => each !== 'raw')) {
    const args = ['-f', 'raw', '-O', format, original, join(folder, `good.${format}`)];
    await must('qemu-img', ['convert', ...args]);
  }
  copyFileSync(original, join(folder, 'good.raw'));
  const stream = ['-c', '-o', 'subformat=streamOptimized', original, join(folder, 'stream.vmdk')];
  await must('qemu-img', ['convert', '-f', 'raw', '-O', 'vmdk', ...stream]);
});

interface Imported {
  id: string;
  disk_format: string;
  virtual_size: number;
  data: { name: string; size: number };
  [field: string]: unknown;
}

async function importImage(
  args: readonly string[],
  options: Omit<CliOptions, 'sandbox'> = {},
): Promise<Imported> {
  const ran = await runCli(['import', ...args, '--json'], { sandbox, ...options });
  expect(ran.exitCode, ran.stdout.slice(-2000) + ran.stderr).toBe(0);
  expect(await readdir(join(sandbox.stateDir, 'runs'))).toEqual([]);
  return (ran.events.at(-1) as { image: Imported }).image;
}

async function failToImport(args: readonly string[], options: Omit<CliOptions, 'sandbox'> = {}) {
  const ran = await runCli(['import', ...args, '--name', 'bad', '--json'], { sandbox, ...options });
  const { code, message, hint } = ran.events.at(-1) as Record<'code' | 'message' | 'hint', string>;
  expect(await readdir(join(sandbox.stateDir, 'runs')).catch(() => [])).toEqual([]);
  return { exitCode: ran.exitCode, code, message, hint };
}

async function pullAndCompare(image: Imported, format = image.disk_format): Promise<void> {
  const file = join(folder, `pulled-${image.id}.${format}`);
  const ran = await runCli(['pull', image.id, file, '--format', format], { sandbox });
  expect(ran.exitCode, ran.stderr).toBe(0);
  const same = await sameContent({ path: original, format: 'raw' }, { path: file, format });
  expect(same).toBe(true);
}

describe('a good image', () => {
  it.each(FORMATS)('%s is imported unchanged', async (format) => {
    const path = join(folder, `good.${format}`);
    const before = readFileSync(path);
    const image = await importImage([path, '--name', format, '--format', format]);
    expect(image).toMatchObject({
      ...{ status: 'active', disk_format: format, min_disk: 1 },
      data: { name: `disk.${format}`, size: before.byteLength },
    });
    expect(readFileSync(path).equals(before)).toBe(true);
    await pullAndCompare(image);
  });

  it('a streamOptimized VMDK too', async () => {
    const image = await importImage([join(folder, 'stream.vmdk'), '--name', 'stream']);
    expect(image.disk_format).toBe('vmdk');
    await pullAndCompare(image, 'qcow2');
  });

  it.each(Object.entries(PACKERS))(
    '.%s is unpacked, with its holes',
    async (ending, [tool, ...args]) => {
      const packed = join(folder, `good.raw.${ending}`);
      await must(tool, [...args, join(folder, 'good.raw')]);
      const image = await importImage([packed, '--name', ending]);
      expect(image).toMatchObject({ disk_format: 'raw', virtual_size: 24 * MIB });
      await pullAndCompare(image);
      const stored = join(sandbox.stateDir, 'registry/images', image.id, 'disk.raw');
      expect(statSync(stored).blocks * 512).toBeLessThan(6 * MIB);
    },
  );

  it('is imported from standard input, packed or plain, and from a redirected file', async () => {
    const main = `"$0" "$1" import "$2" --name stdin --registry "$3"`;
    const registry = join(folder, 'from-stdin');
    const env = { ...process.env, ...sandbox.env };
    const script = [
      `xz -c good.qcow2 | ${main}`,
      `cat good.qcow2 | ${main}`,
      `${main} < good.qcow2`,
    ];
    for (const [at, line] of script.entries()) {
      const source = at === 1 ? '/dev/stdin' : '-';
      const args = ['-c', line, process.execPath, CLI, source, registry];
      const id = (await must('bash', args, { cwd: folder, env })).trim();
      const file = join(folder, `stdin-${at}.qcow2`);
      const ran = await runCli(['pull', id, file, '--registry', registry], { sandbox });
      expect(ran.exitCode, ran.stderr).toBe(0);
      expect(readFileSync(file).equals(readFileSync(join(folder, 'good.qcow2')))).toBe(true);
    }
    expect(await readdir(join(sandbox.stateDir, 'runs'))).toEqual([]);
  });

  it('has the name of its file if none is given', async () => {
    expect(await importImage([join(folder, 'good.qcow2')])).toMatchObject({ name: 'good' });
    const ran = await runCli(['import', '-'], { sandbox, input: '' });
    expect(ran).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--name') });
  });

  it.each(FORMATS)('is converted to %s on the way in', async (format) => {
    const source = join(folder, format === 'qcow2' ? 'good.vdi' : 'good.qcow2');
    const image = await importImage([source, '--name', 'converted', '--convert', format]);
    expect(image.disk_format).toBe(format);
    await pullAndCompare(image);
  });

  it('`import` sets every field that flags name, and the alias', async () => {
    const flags = [
      ...['--tag', 'one', '--tag', 'two', '--property', 'os_distro=debian', '--protected'],
      ...['--visibility', 'public', '--min-disk', '7', '--min-ram', '512', '--hash', 'md5,sha512'],
      ...['--alias', 'good/latest'],
    ];
    const image = await importImage([join(folder, 'good.qcow2'), '--name', 'full', ...flags]);
    const [md5] = (await must('md5sum', [join(folder, 'good.qcow2')])).split(' ');
    const [sha512] = (await must('sha512sum', [join(folder, 'good.qcow2')])).split(' ');
    expect(image).toMatchObject({
      ...{ name: 'full', tags: ['one', 'two'], properties: { os_distro: 'debian' } },
      ...{ protected: true, visibility: 'public', min_disk: 7, min_ram: 512 },
      ...{ checksum: md5, os_hash_algo: 'sha512', os_hash_value: sha512 },
    });
    const shown = await runCli(['show', 'good/latest', '--json'], { sandbox });
    expect(shown.events.at(-1)).toMatchObject({ image: { id: image.id } });
  });

  it('`import` uploads to a bucket, byte for byte', async () => {
    const bucket = await createBucket();
    const path = join(folder, 'good.qcow2');
    const place = ['--registry', `s3://${bucket}/golden`];
    const image = await importImage([path, '--name', 'far', ...place], { env: s3Env() });
    const copy = join(folder, 'far.qcow2');
    await rclone('copyto', `lab:${bucket}/golden/images/${image.id}/disk.qcow2`, copy);
    await must('cmp', [path, copy]);
    // What the store can do was tried before, and is known to the next one.
    const known = await readdir(join(sandbox.stateDir, 'cache', 'registries'), { recursive: true });
    expect(known.filter((name) => name.endsWith('capabilities-1.json')).length).toBe(1);
  });
});

describe('a hostile image', () => {
  it.each(HOSTILE_IMAGES.map((image) => [image.name, image] as const))('%s', async (_, image) => {
    const path = join(folder, 'hostile');
    writeFileSync(path, image.bytes);
    expect(await failToImport([path])).toMatchObject({ exitCode: 45, code: 'IMAGE_REFUSED' });
  });

  it('made by qemu-img: with a backing file, with a data file, truncated', async () => {
    const overlay = join(folder, 'overlay.qcow2');
    const backing = ['-b', original, '-F', 'raw'];
    await must('qemu-img', ['create', '-q', '-f', 'qcow2', ...backing, overlay]);
    expect((await failToImport([overlay])).message).toMatch(/backing file/);
    const split = join(folder, 'split.qcow2');
    const option = ['-o', `data_file=${folder}/split.data`];
    await must('qemu-img', ['create', '-q', '-f', 'qcow2', ...option, split, '1M']);
    expect((await failToImport([split])).message).toMatch(/another file/);
    for (const format of ['qcow2', 'vdi', 'vhdx']) {
      const whole = readFileSync(join(folder, `good.${format}`));
      const truncated = join(folder, `truncated.${format}`);
      writeFileSync(truncated, whole.subarray(0, whole.byteLength / 2));
      expect(await failToImport([truncated]), format).toMatchObject({ code: 'IMAGE_REFUSED' });
    }
  });

  it('a flat VMDK in two files', async () => {
    const flat = join(folder, 'flat.vmdk');
    const option = ['-o', 'subformat=monolithicFlat'];
    await must('qemu-img', ['create', '-q', '-f', 'vmdk', ...option, flat, '1M']);
    expect(await failToImport([flat])).toMatchObject({ code: 'IMAGE_REFUSED' });
  });

  it.each(Object.entries(PACKERS))(
    'a .%s bomb is stopped at --max-size',
    async (ending, [tool, ...args]) => {
      const bomb = join(folder, 'bomb');
      // 2 GiB: each of the three formats allows one stream behind the other.
      await must('truncate', ['-s', '128M', bomb]);
      await must(tool, [...args, '-f', bomb]);
      const stream = readFileSync(`${bomb}.${ending}`);
      writeFileSync(`${bomb}.${ending}`, Buffer.concat(Array.from({ length: 16 }, () => stream)));
      const started = await startCli(
        ['import', `${bomb}.${ending}`, '--name', 'bad', '--max-size', '64M', '--json'],
        { sandbox },
      );
      const { exitCode, events } = await started.done;
      expect(events.at(-1)).toMatchObject({ code: 'IMAGE_REFUSED' });
      expect(exitCode).toBe(45);
      expect(await readdir(join(sandbox.stateDir, 'runs'))).toEqual([]);
    },
  );

  it('a slow stdout reader receives all output', async () => {
    const flags = ['--name', 'bad', '--max-size', '64M', '--json'];
    const { child, done } = await startCli(['import', join(folder, 'bomb.xz'), ...flags], {
      sandbox,
    });
    child.stdout?.pause();
    // Its output meanwhile is larger than the buffer of a pipe.
    await sleep(2000);
    child.stdout?.resume();
    expect((await done).events.at(-1)).toMatchObject({ code: 'IMAGE_REFUSED' });
  });

  it.each(Object.keys(PACKERS))(
    'a broken .%s, and a file that only has its name',
    async (ending) => {
      const packed = join(folder, `good.raw.${ending}`);
      const broken = join(folder, `broken.raw.${ending}`);
      const bytes = readFileSync(packed);
      writeFileSync(broken, bytes.subarray(0, bytes.byteLength - 1000));
      expect(await failToImport([broken])).toMatchObject({ exitCode: 45, code: 'IMAGE_REFUSED' });
      writeFileSync(broken, randomBytes(MIB));
      expect((await failToImport([broken])).message).toMatch(/as its name says/);
    },
  );

  it('a hostile image that is packed', async () => {
    const path = join(folder, 'hostile.qcow2');
    writeFileSync(path, qcow2({ backing: '/etc/passwd' }));
    await must('gzip', ['-f', path]);
    expect((await failToImport([`${path}.gz`])).message).toMatch(/backing file/);
  });

  it('a directory, and an image of another format than --format, are refused', async () => {
    expect(await failToImport([folder])).toMatchObject({ code: 'USAGE' });
    expect(await failToImport(['/dev/zero'])).toMatchObject({ code: 'USAGE' });
    const args = [join(folder, 'good.qcow2'), '--format', 'raw'];
    expect(await failToImport(args)).toMatchObject({ exitCode: 2, code: 'USAGE' });
  });

  it('is reported before an unreachable registry; a good image is not imported there', async () => {
    const env = { ...s3Env(), VIRT_PUBLISH_UPLOAD_RETRIES: '0' };
    const nowhere = ['--registry', 's3://nowhere', '--endpoint', 'http://127.0.0.1:9'];
    const missing = await failToImport([join(folder, 'none.raw'), ...nowhere], { env });
    expect(missing).toMatchObject({ exitCode: 2, code: 'USAGE' });
    const packed = join(folder, 'packed.raw.gz');
    writeFileSync(packed, gzipSync('some bytes'));
    for (const path of [join(folder, 'good.raw'), packed]) {
      const { code, message } = await failToImport([path, ...nowhere], { env });
      expect(code).toBe('REGISTRY');
      expect(message).toMatch(/^opening s3:\/\/nowhere failed/);
    }
  });

  it('leaves no active image behind', async () => {
    const ran = await runCli(['list', '--name', 'bad', '--json'], { sandbox });
    expect(ran.events.at(-1)).toMatchObject({ images: [] });
  });
});

describe('a URL', () => {
  let base = '';
  const routes: Record<string, RequestListener> = {
    '/good.qcow2': (_, answer) => answer.end(readFileSync(join(folder, 'good.qcow2'))),
    '/good.raw.gz': (_, answer) => answer.end(readFileSync(join(folder, 'good.raw.gz'))),
    '/moved': (_, answer) => answer.writeHead(302, { location: '/good.qcow2' }).end(),
    '/loop': (_, answer) => answer.writeHead(302, { location: '/loop' }).end(),
    '/file': (_, answer) => answer.writeHead(302, { location: 'file:///etc/passwd' }).end(),
    '/large': (_, answer) =>
      answer.writeHead(200, { 'content-length': `${1024 ** 4}` }).flushHeaders(),
    '/endless': (_, answer) => {
      const more = () => {
        while (answer.write(Buffer.alloc(65536, 'x')));
      };
      answer.on('drain', more);
      more();
    },
    '/short': (_, answer) => {
      answer.writeHead(200, { 'content-length': '1000000' });
      answer.write('x');
      setTimeout(() => answer.destroy(), 50);
    },
    '/secret': ({ headers }, answer) => {
      const basic = `Basic ${Buffer.from('me:pass word').toString('base64')}`;
      if (headers.authorization !== basic) return answer.writeHead(401).end();
      return answer.end(readFileSync(join(folder, 'good.qcow2')));
    },
  };
  const server = createServer((request, answer) => {
    const route = routes[new URL(request.url ?? '/', 'http://x').pathname];
    if (route === undefined) return answer.writeHead(404).end();
    return route(request, answer);
  });

  beforeAll(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  it('is fetched with --allow-private, also behind a redirect, packed, or with a password', async () => {
    const secret = base.replace('http://', 'http://me:pass%20word@');
    for (const url of [
      `${base}/good.qcow2?a=1`,
      `${base}/moved`,
      `${base}/good.raw.gz`,
      `${secret}/secret`,
    ]) {
      await pullAndCompare(await importImage([url, '--name', 'url', '--allow-private']));
    }
  });

  it('to this host is refused without --allow-private, as is a redirect to it', async () => {
    const reported = await failToImport([`${base}/good.qcow2`]);
    expect(reported).toMatchObject({ exitCode: 45, code: 'DOWNLOAD' });
    expect(reported.hint).toContain('--allow-private');
  });

  it.each([
    ['/loop', /redirects/],
    ['/file', /not an http URL/],
    ['/missing', /404/],
    ['/large', /more than the .* allowed/],
    ['/endless', /more than the .* allowed/],
    ['/short', /ended|failed|aborted/],
    ['/secret', /401/],
  ])('%s fails with the reason', async (path, expected) => {
    const flags = ['--allow-private', '--max-size', '64M'];
    const { exitCode, message } = await failToImport([`${base}${path}`, ...flags]);
    expect(message).toMatch(expected);
    expect(exitCode).toBe(45);
  });

  it('with a password never shows it', async () => {
    const url = `${base.replace('http://', 'http://me:hush@')}/missing?token=hush`;
    const ran = await runCli(['import', url, '--name', 'x', '--allow-private', '--json'], {
      sandbox,
    });
    expect(ran.exitCode).toBe(45);
    expect(ran.stdout + ran.stderr).not.toContain('hush');
  });

  it('is interrupted with exit 130, and nothing is left', async () => {
    const args = ['import', `${base}/endless`, '--name', 'x', '--allow-private', '--json'];
    const { child, done } = await startCli(args, { sandbox });
    await new Promise<void>((resolve) => {
      child.stdout?.on('data', (text) => {
        if (String(text).includes('"progress"')) resolve();
      });
    });
    child.kill('SIGINT');
    expect((await done).exitCode).toBe(130);
    expect(await readdir(join(sandbox.stateDir, 'runs'))).toEqual([]);
  });
});
