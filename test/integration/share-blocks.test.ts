// A flat qcow2 that shares blocks with its layers where the file system has reflinks. qemu-img judges.
import { createHash } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { afterAll, describe, expect, it, test } from 'vitest';
import { type PlannedImage, planImage } from '#built/image/plan/plan-image.js';
import { writeImage } from '#built/image/write-image.js';
import { type ChainFile, makeChainFiles } from '../support/chain-files.ts';
import { must } from '../support/exec.ts';
import { imageCheck, sameContent } from '../support/judges.ts';
import { makeSmallDisk } from '../support/small-disk.ts';

type Chain = [ChainFile, ...ChainFile[]];

const MIB = 1024 * 1024;
const { signal } = new AbortController();
const limits = { timeoutMs: 60_000, signal };
const options = { algorithms: ['sha256'], onSettled: () => undefined, ...limits };
const files = makeChainFiles();

afterAll(() => rmSync(files.folder, { recursive: true }));

async function plan([top, ...backingChain]: Chain, virtualSize: number): Promise<PlannedImage> {
  const source = { ...top, backingChain, ...limits };
  const planned = await planImage(source, virtualSize, { minSharedBytes: 1 });
  if (!planned) throw new Error('it cannot be written in one pass');
  return planned;
}

/** Writes the chain's image and has it judged. */
async function expectWhole(chain: Chain, virtualSize: number, path: string): Promise<void> {
  const planned = await plan(chain, virtualSize);
  expect(planned.shares).toBe(true);
  const settled: number[] = [];
  const onSettled = (bytes: number) => settled.push(bytes);
  const digests = await writeImage(planned, { path, algorithms: ['sha256'], onSettled, ...limits });
  expect(settled[0]).toBe(0);
  expect(settled.at(-1)).toBe((await stat(path)).size);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(digests.sha256).toBe(createHash('sha256').update(readFileSync(path)).digest('hex'));
  const check = await imageCheck(path, 'qcow2');
  expect(check, check.stdout + check.stderr).toMatchObject({ exitCode: 0 });
  expect(await sameContent(chain[0], { path, format: 'qcow2' })).toBe(true);
  expect(readFileSync(path).readBigUInt64BE(8), 'the offset of a backing file').toBe(0n);
}

test('an image fails with NO_SPACE if the file system is full', async () => {
  const disk = await makeSmallDisk(24);
  const base = await files.makeRaw('wide.raw', 64 * MIB, [[0, 32 * MIB]]);
  const chain = makeChainFiles(disk.path);
  const top = await chain.makeOverlay(
    'top.qcow2',
    { size: 64 * MIB, below: base },
    'write -P 1 40M 8M',
  );
  const planned = await plan([top, base], 64 * MIB);
  const write = writeImage(planned, { ...options, path: chain.at('image.qcow2') });
  await expect(write).rejects.toMatchObject({ code: 'NO_SPACE', step: 'convert' });
});

describe('on a file system with reflinks', () => {
  it('the image shares the blocks of its layers and copies incomplete blocks at their ends', async () => {
    const disk = await makeSmallDisk(400, 'xfs');
    const { at, makeRaw, makeOverlay } = makeChainFiles(disk.path);
    const size = 90 * MIB + 512;
    const base = await makeRaw('base.raw', 80 * MIB + 700, [
      [0, 40 * MIB],
      [50 * MIB + 512, 5 * MIB + 1000],
      [80 * MIB, 700],
    ]);
    const small = ['-o', 'cluster_size=512'];
    const middle = await makeOverlay(
      'middle.qcow2',
      { size: 85 * MIB, below: base, options: small },
      ...['write -P 3 60M 1M', 'write -P 4 10M 5k', 'write -z 12M 1M'],
    );
    const top = await makeOverlay(
      'top.qcow2',
      { size, below: middle },
      ...['write -P 5 70M 2M', `write -P 6 ${size - 512} 512`],
    );
    const before = await disk.free();

    const path = at('image.qcow2');
    await expectWhole([top, middle, base], size, path);

    // 48 MiB of data: 3 MiB of them are in clusters of their own, and XFS takes some ahead.
    expect(before - (await disk.free())).toBeLessThan(20 * MIB);
    expect(await must('filefrag', ['-v', path])).toContain('shared');
    rmSync(base.path);
    expect((await imageCheck(path, 'qcow2')).exitCode).toBe(0);
    await expectWhole([{ path, format: 'qcow2' }], size, at('again.qcow2'));
  });

  it('the image shares nothing if too much data lies at odd offsets, and an abort ends it', async () => {
    const disk = await makeSmallDisk(400, 'xfs');
    const { at, makeRaw, makeOverlay } = makeChainFiles(disk.path);
    const size = 64 * MIB;
    const odd = ['-o', 'cluster_size=512'];
    // Its first bytes can be shared; they are dropped again.
    const base = await makeRaw('base.raw', size, [[0, 4 * MIB]]);
    const middle = await makeOverlay(
      'middle.qcow2',
      { size, below: base, options: odd },
      ...['write -P 3 8M 512', `write -P 4 ${16 * MIB + 512} 20M`],
    );
    const top = await makeOverlay('top.qcow2', { size, below: middle }, 'write -P 5 50M 4M');
    const path = at('image.qcow2');
    await expectWhole([top, middle, base], size, path);
    expect(await must('filefrag', ['-v', path])).not.toContain('shared');

    const stop = new AbortController();
    const reason = new Error('enough');
    const write = writeImage(await plan([base], size), {
      ...{ algorithms: ['sha256'], path: at('stopped'), timeoutMs: 60_000, signal: stop.signal },
      onSettled: () => stop.abort(reason),
    });
    await expect(write).rejects.toBe(reason);
  });
});
