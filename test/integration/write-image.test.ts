// `writeImage`: a flat qcow2 written in one pass, checked and compared by qemu-img.
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { type PlannedImage, type PlanOptions, planImage } from '#built/image/plan/plan-image.js';
import { writeImage } from '#built/image/write-image.js';
import { type ChainFile, makeChainFiles } from '../support/chain-files.ts';
import { must } from '../support/exec.ts';
import { imageCheck, sameContent } from '../support/judges.ts';

const MIB = 1024 * 1024;
const KIB = 1024;
const { folder, at, makeRaw, makeOverlay } = makeChainFiles();
const { signal } = new AbortController();
const limits = { timeoutMs: 60_000, signal };

afterAll(() => rmSync(folder, { recursive: true }));

type Chain = [ChainFile, ...ChainFile[]];

function plan([top, ...backingChain]: Chain, virtualSize: number, options: PlanOptions = {}) {
  return planImage({ ...top, backingChain, ...limits }, virtualSize, options);
}

/** Writes the chain's image and checks it; then again with the layers' blocks shared if possible. */
async function expectWhole(chain: Chain, virtualSize: number): Promise<void> {
  const planned = await plan(chain, virtualSize);
  if (!planned) throw new Error('it cannot be written in one pass');
  expect(planned).toMatchObject({ shares: false });
  await expectWritten(planned, chain, virtualSize);
  const sharing = await plan(chain, virtualSize, { minSharedBytes: 1 });
  if (!sharing) throw new Error('it cannot be written in one pass any more');
  await expectWritten(sharing, chain, virtualSize);
}

async function expectWritten(
  planned: PlannedImage,
  chain: Chain,
  virtualSize: number,
): Promise<void> {
  const path = at('image.qcow2');
  const settled: number[] = [];
  const onSettled = (bytes: number) => settled.push(bytes);
  const digests = await writeImage(planned, {
    ...{ path, algorithms: ['sha256', 'md5'], onSettled, ...limits },
  });
  const { size, mode } = await stat(path);
  expect(settled.at(-1)).toBe(size);
  expect(mode & 0o777).toBe(0o600);
  const bytes = readFileSync(path);
  for (const name of ['sha256', 'md5']) {
    expect(digests[name]).toBe(createHash(name).update(bytes).digest('hex'));
  }
  const check = await imageCheck(path, 'qcow2');
  expect(check, check.stdout + check.stderr).toMatchObject({ exitCode: 0 });
  expect(await sameContent(chain[0], { path, format: 'qcow2' })).toBe(true);
  const info = JSON.parse(await must('qemu-img', ['info', '--output=json', path]));
  expect(info).toMatchObject({ 'virtual-size': virtualSize, format: 'qcow2' });
  expect(info['backing-filename']).toBeUndefined();
}

describe('`writeImage` writes an image that qemu-img accepts', () => {
  it('from three layers with holes, zeros over data, a shorter backing file and an odd end', async () => {
    const size = 700 * MIB + 512;
    const runs: [number, number][] = [
      ...([
        [0, MIB],
        [5 * MIB, 40 * MIB],
        [300 * MIB, 3000],
      ] as [number, number][]),
      [600 * MIB - 1, 2],
    ];
    const base = await makeRaw('base.raw', 650 * MIB + 999, runs);
    const middle = await makeOverlay(
      'middle.qcow2',
      { size: 690 * MIB, below: base },
      ...['write -P 7 10M 8M', 'write -z 22M 5M', 'write -P 3 512M 100k'],
    );
    const top = await makeOverlay(
      'top.qcow2',
      { size, below: middle },
      ...['write -P 9 12M 3M', `write -P 1 ${size - 70_144} 70144`, 'discard 30M 1M'],
    );
    await expectWhole([top, middle, base], size);
  });

  it('from clusters of other sizes, and from parts of clusters', async () => {
    const size = 64 * MIB;
    const small = ['-o', 'cluster_size=4k'];
    const base = await makeOverlay(
      'small.qcow2',
      { size, options: small },
      ...[
        'write -P 1 4k 4k',
        'write -P 2 68k 120k',
        'write -P 3 1M 4k',
        'write -P 4 63M 1M',
        'write -P 6 32M 4M',
      ],
    );
    const large = ['-o', 'cluster_size=2M'];
    const top = await makeOverlay(
      'large.qcow2',
      { size, below: base, options: large },
      'write -P 5 33M 1k',
    );
    await expectWhole([top, base], size);
    await expectWhole([base], size);
  });

  it('from a disk without data, whose size is no multiple of a cluster', async () => {
    await expectWhole([await makeOverlay('empty.qcow2', { size: 3 * MIB + 512 })], 3 * MIB + 512);
  });

  it('from a disk of 40 GiB with data all over', async () => {
    const size = 40 * 1024 * MIB;
    const writes = Array.from({ length: 40 }, (_, n) => `write -P ${n + 1} ${n * 1024 + n}M 64k`);
    const disk = await makeOverlay('wide.qcow2', { size }, ...writes);
    await expectWhole([disk], size);
  });

  it.each([1, 2, 3, 4])('from a random chain (%i)', async (seed) => {
    let state = seed * 7919;
    const random = (below: number) => {
      state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
      return Math.floor((state / 2 ** 31) * below);
    };
    const size = 96 * MIB + random(8) * 512;
    const commands = () =>
      Array.from({ length: 25 }, () => {
        const from = random(95 * 2048) * 512;
        const length = Math.min((1 + random(400)) * 512 * (1 + random(8)), size - from);
        const what = ['write -P 1', 'write -P 255', 'write -z', 'write -P 77'][random(4)];
        return `${what} ${from} ${length}`;
      });
    const base = await makeRaw(`r${seed}.raw`, size - 512 * random(90), [
      [random(1000) * 512, 3 * MIB],
      [(40_000 + random(1000)) * 512, 2 * MIB + 512],
    ]);
    const middle = await makeOverlay(`m${seed}.qcow2`, { size, below: base }, ...commands());
    const top = await makeOverlay(`t${seed}.qcow2`, { size, below: middle }, ...commands());
    await expectWhole([top, middle, base], size);
  });
});

describe('`planImage` leaves an image to qemu-img', () => {
  it('if data is compressed', async () => {
    const raw = await makeRaw('plain.raw', 2 * MIB, [[0, MIB]]);
    const path = at('compressed.qcow2');
    const convert = ['convert', '-c', '-f', 'raw', '-O', 'qcow2', raw.path, path];
    await must('qemu-img', convert);
    // Random bytes do not become less, so some that do are needed.
    await must('qemu-io', ['-f', 'qcow2', '-c', 'write -c -P 5 1M 64k', path]);
    expect(await plan([{ path, format: 'qcow2' }], 2 * MIB)).toBeUndefined();
  });

  it('if a layer has an external data file', async () => {
    const options = ['-o', `data_file=${at('outside.raw')}`];
    const base = await makeOverlay('inside.qcow2', { size: MIB, options }, 'write -P 1 64k 64k');
    const top = await makeOverlay('over.qcow2', { size: MIB, below: base });
    expect(await plan([top, base], MIB)).toBeUndefined();
  });

  it('if a layer is missing', async () => {
    const base = await makeRaw('missing.raw', MIB, [[0, KIB]]);
    const top = await makeOverlay('orphan.qcow2', { size: MIB, below: base });
    rmSync(base.path);
    expect(await plan([top, base], MIB)).toBeUndefined();
  });

  it('if much of the data is zeros, or a layer has another format', async () => {
    const size = 20 * MIB;
    const path = at('zeros.raw');
    const file = await open(path, 'w');
    await file.write(Buffer.concat([randomBytes(10 * MIB), Buffer.alloc(10 * MIB)]));
    await file.close();
    expect(await plan([{ path, format: 'raw' }], size)).toBeUndefined();
    const vmdk = { path: at('disk.vmdk'), format: 'vmdk' };
    await must('qemu-img', ['create', '-q', '-f', 'vmdk', vmdk.path, '1M']);
    expect(await plan([vmdk], MIB)).toBeUndefined();
  });
});

describe('`planImage` and `writeImage` fail', () => {
  it('with INTEGRITY if the disk was resized', async () => {
    const disk = await makeOverlay('resized.qcow2', { size: 2 * MIB }, 'write -P 1 1M 64k');
    await expect(plan([disk], MIB)).rejects.toMatchObject({ code: 'INTEGRITY' });
  });

  it('with INTEGRITY if a layer is changed while it is read', async () => {
    const raw = await makeRaw('changing.raw', 64 * KIB, [[0, 64 * KIB]]);
    const planned = await plan([raw], 64 * KIB);
    if (!planned) throw new Error('it cannot be written in one pass');
    const options = { algorithms: ['sha256'], onSettled: () => undefined, ...limits };
    await must('qemu-io', ['-f', 'raw', '-c', 'write -P 1 4k 512', raw.path]);
    const write = writeImage(planned, { ...options, path: at('changed') });
    await expect(write).rejects.toMatchObject({
      ...{ code: 'INTEGRITY', step: 'convert' },
      message: expect.stringContaining('changing.raw was changed while it was read'),
    });
  });

  it('with QEMU_IMG, with NO_SPACE, and with the reason of a signal', async () => {
    const raw = await makeRaw('failing.raw', 64 * KIB, [[0, 64 * KIB]]);
    const planned = await plan([raw], 64 * KIB);
    if (!planned) throw new Error('it cannot be written in one pass');
    const options = { algorithms: ['sha256'], onSettled: () => undefined, ...limits };
    const nowhere = writeImage(planned, { ...options, path: at('no-folder/image') });
    await expect(nowhere).rejects.toMatchObject({ code: 'QEMU_IMG', step: 'convert' });
    const full = writeImage(planned, { ...options, path: '/dev/full' });
    await expect(full).rejects.toMatchObject({
      code: 'NO_SPACE',
      message: expect.stringContaining('no space left'),
    });
    const reason = new Error('enough');
    const stopped = { ...options, path: at('stopped'), signal: AbortSignal.abort(reason) };
    await expect(writeImage(planned, stopped)).rejects.toBe(reason);
  });

  it('with the reason of a signal that aborts while it writes, and at the deadline', async () => {
    const raw = await makeRaw('long.raw', 96 * MIB, [[0, 96 * MIB]]);
    const planned = await plan([raw], 96 * MIB);
    if (!planned) throw new Error('it cannot be written in one pass');
    const stop = new AbortController();
    const reason = new Error('enough');
    const settled: number[] = [];
    const onSettled = (bytes: number) => {
      settled.push(bytes);
      if (bytes > 0) stop.abort(reason);
    };
    const options = { path: at('midst'), algorithms: ['sha256'], onSettled, ...limits };
    await expect(writeImage(planned, { ...options, signal: stop.signal })).rejects.toBe(reason);
    expect(settled[1]).toBeLessThan(planned.dataBytes);
    const late = writeImage(planned, { ...options, timeoutMs: 1 });
    await expect(late).rejects.toMatchObject({
      ...{ code: 'QEMU_IMG', message: expect.stringContaining('longer than its deadline') },
    });
  });
});
