// `writeCompressedImage`: a flat qcow2 compressed in one pass, checked and compared by qemu-img.
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PlannedImage, planImage } from '#built/image/plan/plan-image.js';
import { writeCompressedImage } from '#built/image/write-image.js';
import { type ChainFile, makeChainFiles } from '../support/chain-files.ts';
import { must } from '../support/exec.ts';
import { imageCheck, sameContent } from '../support/judges.ts';
import { runScript } from '../support/run-script.ts';

const MIB = 1024 * 1024;
const BUILT = new URL('../../build/', import.meta.url).href;
const { folder, at, makeRaw, makeOverlay } = makeChainFiles();
const limits = { timeoutMs: 60_000, signal: new AbortController().signal };

afterAll(() => rmSync(folder, { recursive: true }));

async function plan(
  [top, ...backingChain]: [ChainFile, ...ChainFile[]],
  virtualSize: number,
): Promise<PlannedImage> {
  const source = { ...top, backingChain, ...limits };
  const planned = await planImage(source, virtualSize, { skipZeroProbe: true });
  if (!planned) throw new Error('it cannot be written in one pass');
  return planned;
}

async function compress(
  planned: PlannedImage,
  options: { path: string; signal?: AbortSignal; onRead?: (bytes: number) => void },
): Promise<void> {
  const onRead = () => undefined;
  await writeCompressedImage(planned, { ...limits, onRead, ...options });
}

/** Writes the chain's image and checks it with qemu-img; returns its bytes. */
async function expectWhole(chain: [ChainFile, ...ChainFile[]], size: number): Promise<number> {
  const path = at('image.qcow2');
  await compress(await plan(chain, size), { path });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  const check = await imageCheck(path, 'qcow2');
  expect(check, check.stdout + check.stderr).toMatchObject({ exitCode: 0 });
  expect(await sameContent(chain[0], { path, format: 'qcow2' })).toBe(true);
  const info = JSON.parse(await must('qemu-img', ['info', '--output=json', path]));
  expect(info).toMatchObject({
    ...{ 'virtual-size': size, format: 'qcow2' },
    'format-specific': { data: { 'compression-type': 'zstd', compat: '1.1' } },
  });
  expect(info['backing-filename']).toBeUndefined();
  const bytes = (await stat(path)).size;
  expect(bytes % 65_536).toBe(0);
  return bytes;
}

/** Writes clusters of all kinds in turn: random, text, a few random bytes among zeros, zeros. */
async function makeMixed(name: string, clusters: number, tail: number): Promise<ChainFile> {
  const file = await open(at(name), 'w');
  for (let n = 0; n < clusters; n += 1) {
    const cluster = Buffer.alloc(65_536, n % 5 === 1 ? `line ${n} of a text\n` : 0);
    if (n % 5 === 0 || n % 7 === 0) randomBytes(65_536).copy(cluster);
    if (n % 5 === 2) randomBytes(1000 * (n % 60)).copy(cluster, n);
    if (n % 5 === 3) randomBytes(30_000).copy(cluster, 0);
    await file.write(cluster, 0, cluster.length, n * cluster.length);
  }
  await file.write(randomBytes(tail), 0, tail, clusters * 65_536);
  await file.close();
  return { path: at(name), format: 'raw' };
}

describe('`writeCompressedImage` writes an image that qemu-img accepts', () => {
  it('from three layers with all kinds of clusters and an odd end, no larger than that of qemu-img', async () => {
    const size = 130 * MIB + 512;
    const base = await makeMixed('mixed.raw', 1100, 3 * 512);
    const middle = await makeOverlay(
      'middle.qcow2',
      { size: 100 * MIB, below: base },
      ...['write -P 7 10M 8M', 'write -z 22M 5M', 'write -P 3 80M 100k'],
    );
    const top = await makeOverlay(
      'top.qcow2',
      { size, below: middle },
      ...['write -P 9 12M 3M', `write -P 1 ${size - 70_144} 70144`, 'discard 30M 1M'],
    );
    const bytes = await expectWhole([top, middle, base], size);
    const byQemu = at('by-qemu.qcow2');
    const how = ['-c', '-O', 'qcow2', '-o', 'compression_type=zstd', '-f', 'qcow2'];
    await must('qemu-img', ['convert', ...how, top.path, byQemu]);
    expect(bytes).toBeLessThanOrEqual((await stat(byQemu)).size);
  });

  it('from a raw file, from small clusters, and without any data', async () => {
    const raw = await makeMixed('alone.raw', 40, 512);
    await expectWhole([raw], 40 * 65_536 + 512);
    const options = ['-o', 'cluster_size=4k'];
    const writes = ['write -P 1 4k 4k', 'write -P 2 68k 120k', 'write -P 4 63M 1M'];
    const small = await makeOverlay('small.qcow2', { size: 64 * MIB, options }, ...writes);
    await expectWhole([small], 64 * MIB);
    const empty = await makeOverlay('empty.qcow2', { size: 3 * MIB + 512 });
    await expectWhole([empty], 3 * MIB + 512);
  });

  it('from data all over 40 GiB, and from clusters full of zeros', async () => {
    const size = 40 * 1024 * MIB;
    const writes = Array.from({ length: 40 }, (_, n) => `write -P ${n} ${n * 1024 + n}M 64k`);
    await expectWhole([await makeOverlay('wide.qcow2', { size }, ...writes)], size);
    const file = await open(at('zeros.raw'), 'w');
    await file.write(Buffer.alloc(4 * MIB));
    await file.close();
    const zeros: ChainFile = { path: at('zeros.raw'), format: 'raw' };
    expect(await expectWhole([zeros], 4 * MIB)).toBeLessThan(MIB);
  });
});

describe('`writeCompressedImage` fails', () => {
  let planned: PlannedImage;
  beforeAll(async () => {
    planned = await plan([await makeRaw('long.raw', 96 * MIB, [[0, 96 * MIB]])], 96 * MIB);
  });

  it('with NO_SPACE, QEMU_IMG, or INTEGRITY if a layer was changed', async () => {
    await expect(compress(planned, { path: '/dev/full' })).rejects.toMatchObject({
      ...{ code: 'NO_SPACE', message: expect.stringContaining('no space left') },
    });
    const nowhere = compress(planned, { path: at('no-folder/image') });
    await expect(nowhere).rejects.toMatchObject({ code: 'QEMU_IMG', step: 'convert' });
    const changing = await makeRaw('changing.raw', 65_536, [[0, 65_536]]);
    const before = await plan([changing], 65_536);
    await must('qemu-io', ['-f', 'raw', '-c', 'write -P 1 4k 512', changing.path]);
    await expect(compress(before, { path: at('changed') })).rejects.toMatchObject({
      ...{ code: 'INTEGRITY', message: expect.stringContaining('was changed while it was read') },
    });
  });

  it('with the reason of a signal that aborts while it writes', async () => {
    const stop = new AbortController();
    const reason = new Error('enough');
    const onRead = (bytes: number) => bytes > 0 && stop.abort(reason);
    const stopped = compress(planned, { path: at('midst'), signal: stop.signal, onRead });
    await expect(stopped).rejects.toBe(reason);
  });

  it('with the reason of a signal that aborts while its thread starts, and the process may exit then', async () => {
    const source = { path: planned.layers[0], format: 'raw', backingChain: [] };
    const request = {
      ...{ source, virtualSize: 96 * MIB, target: { path: at('early'), format: 'qcow2' } },
      ...{
        compress: 'zstd',
        isScratch: true,
        algorithms: ['sha256'],
      },
      timeouts: { convertMs: 60_000, checkMs: 60_000 },
    };
    const scripts = [0, 10, 20, 40, 60, 80, 100].map(
      (ms) => `
      const stop = new AbortController();
      setTimeout(() => stop.abort(new Error('enough')), ${ms});
      const convert = flatten({ ...request, signal: stop.signal }).catch((error) => error.message);
      console.log(await convert);`,
    );
    const exits = [60, 90, 120, 150].map(
      (ms) => `
      flatten({ ...request, signal: new AbortController().signal });
      setTimeout(() => process.exit(0), ${ms});
      console.log('enough');`,
    );
    for (const script of [...scripts, ...exits]) {
      const ended = await runScript(`
        import { flatten } from '${BUILT}image/flatten.js';
        const request = { ...${JSON.stringify(request)}, onEvent: () => undefined };
        ${script}`);
      expect(ended, script).toEqual({ exitCode: 0, stdout: 'enough\n', stderr: '' });
    }
  });
});
