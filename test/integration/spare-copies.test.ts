// What a flat qcow2 need not copy: a top layer whose file becomes the image, and blocks that are shared. qemu-img judges.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { chmod, copyFile, link, open, stat } from 'node:fs/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { type PlannedImage, planImage } from '#built/image/plan/plan-image.js';
import { writeImage } from '#built/image/write-image.js';
import { type ChainFile, makeChainFiles } from '../support/chain-files.ts';
import { must } from '../support/exec.ts';
import { imageCheck, sameContent } from '../support/judges.ts';
import { makeSmallDisk } from '../support/small-disk.ts';

type Chain = [ChainFile, ...ChainFile[]];

const KIB = 1024;
const MIB = 1024 * KIB;
/** Of a disk that is half full. */
const SIZE = 16 * MIB;
const { signal } = new AbortController();
const limits = { timeoutMs: 60_000, signal };
const options = { algorithms: ['sha256'], onSettled: () => undefined, ...limits };
const files = makeChainFiles();

afterAll(() => rmSync(files.folder, { recursive: true }));

async function plan([top, ...backingChain]: Chain, virtualSize: number): Promise<PlannedImage> {
  const source = { ...top, backingChain, ...limits };
  const planned = await planImage(source, virtualSize, { minReuseBytes: 1 });
  if (!planned) throw new Error('it cannot be written in one pass');
  return planned;
}

/** Writes the chain's image out of a copy of its top, and has it judged; resolves to the copy's path. */
async function expectWhole(
  [top, ...below]: Chain,
  virtualSize: number,
  path: string,
  expected: Partial<PlannedImage>,
): Promise<string> {
  const copy = { path: `${top.path}.copy`, format: top.format };
  await copyFile(top.path, copy.path);
  const planned = await plan([copy, ...below], virtualSize);
  expect(planned).toMatchObject(expected);
  const settled: number[] = [];
  const onSettled = (bytes: number) => settled.push(bytes);
  const digests = await writeImage(planned, { path, algorithms: ['sha256'], onSettled, ...limits });
  expect(settled[0]).toBe(0);
  expect(settled.at(-1)).toBe((await stat(path)).size);
  expect(digests.sha256).toBe(createHash('sha256').update(readFileSync(path)).digest('hex'));
  const check = await imageCheck(path, 'qcow2');
  expect(check, check.stdout + check.stderr).toMatchObject({ exitCode: 0 });
  expect(await sameContent(top, { path, format: 'qcow2' })).toBe(true);
  expect(readFileSync(path).readBigUInt64BE(8), 'the offset of a backing file').toBe(0n);
  return copy.path;
}

describe("a top layer's file becomes the image", () => {
  it('with its data where they lie, what the layers below have behind them, and nothing of what it dropped', async () => {
    const size = 600 * MIB + 512;
    const base = await files.makeRaw('base.raw', 500 * MIB, [
      [0, 3 * MIB],
      [20 * MIB, 3 * MIB],
      [499 * MIB, 512],
    ]);
    const top = await files.makeOverlay(
      'top.qcow2',
      { size, below: base },
      // Not in the guest's order, over two tables, to an odd end.
      ...['write -P 9 550M 4M', 'write -P 8 21M 1M', 'write -P 7 10M 4M', 'write -P 222 30M 128k'],
      ...[`write -P 6 ${size - 1024} 1024`, 'discard 30M 64k', 'write -z 30784k 64k'],
    );
    expect(readFileSync(top.path).includes(Buffer.alloc(KIB, 222))).toBe(true);
    const { ino } = await stat(top.path);
    const path = files.at('image.qcow2');

    const copy = await expectWhole([top, base], size, path, { kept: expect.any(Number) });

    expect(existsSync(copy)).toBe(false);
    expect((await stat(top.path)).ino).toBe(ino);
    const image = readFileSync(path);
    expect(image.includes(Buffer.alloc(KIB, 222)), 'what was dropped').toBe(false);
    const place = readFileSync(top.path).indexOf(Buffer.alloc(KIB, 9));
    expect(image.indexOf(Buffer.alloc(KIB, 9)), 'not moved').toBe(place);
  });

  it('which nobody but its owner may open', async () => {
    const top = await files.makeOverlay('open.qcow2', { size: SIZE }, 'write -P 1 0 8M');
    await chmod(top.path, 0o666);
    const path = files.at('closed.qcow2');
    await writeImage(await plan([top], SIZE), { ...options, path });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(existsSync(top.path)).toBe(false);
  });

  it('unless somebody has it open for writing, or has another name for it', async () => {
    const top = await files.makeOverlay('busy.qcow2', { size: SIZE }, 'write -P 1 0 8M');
    const path = files.at('apart.qcow2');
    const expectApart = async () => {
      const planned = await plan([top], SIZE);
      expect(planned.kept).toBeGreaterThan(0);
      await writeImage(planned, { ...options, path });
      expect((await stat(path)).ino).not.toBe((await stat(top.path)).ino);
    };
    const writer = await open(top.path, 'r+');
    await expectApart().finally(() => writer.close());
    await link(top.path, files.at('other-name.qcow2'));
    await expectApart();
    expect(await sameContent(top, { path, format: 'qcow2' })).toBe(true);
  });

  it('and fails the run where it was changed since it was looked at', async () => {
    const top = await files.makeOverlay('late.qcow2', { size: SIZE }, 'write -P 1 0 8M');
    const planned = await plan([top], SIZE);
    await must('qemu-io', ['-f', 'qcow2', '-c', 'write -P 2 9M 64k', top.path]);
    await expect(
      writeImage(planned, { ...options, path: files.at('no.qcow2') }),
    ).rejects.toMatchObject({
      ...{ code: 'INTEGRITY', step: 'convert', retryable: true },
      message: expect.stringContaining('late.qcow2 was changed while it was read'),
    });
    expect(existsSync(top.path)).toBe(true);
  });

  it('and fails where there is no space for the rest', async () => {
    const disk = await makeSmallDisk(24);
    const base = await files.makeRaw('wide.raw', 64 * MIB, [[0, 32 * MIB]]);
    const chain = makeChainFiles(disk.path);
    const top = await chain.makeOverlay(
      'top.qcow2',
      { size: 64 * MIB, below: base },
      'write -P 1 40M 8M',
    );
    const planned = await plan([top, base], 64 * MIB);
    expect(planned.kept).toBeGreaterThan(0);
    const write = writeImage(planned, { ...options, path: chain.at('image.qcow2') });
    await expect(write).rejects.toMatchObject({ code: 'NO_SPACE', step: 'convert' });
  });

  it.each([
    ['is raw', [], ['convert', '-O', 'raw']],
    ['has other clusters', ['cluster_size=128k'], []],
    ['has subclusters', ['extended_l2=on'], []],
  ])('unless it %s', async (_, odd, convert) => {
    const create = odd.flatMap((option) => ['-o', option]);
    const disk = { size: SIZE, options: create };
    const top = await files.makeOverlay('odd.qcow2', disk, 'write -P 1 0 8M');
    const raw = { path: files.at('odd.raw'), format: 'raw' };
    if (convert.length > 0) await must('qemu-img', [...convert, top.path, raw.path]);
    expect((await plan([convert.length > 0 ? raw : top], SIZE)).kept).toBe(0);
  });

  it.each([
    ['has internal snapshots', ['snapshot', '-c', 'one']],
    ['has bitmaps', ['bitmap', '--add']],
  ])('unless it %s', async (_, change) => {
    const top = await files.makeOverlay('more.qcow2', { size: SIZE }, 'write -P 1 0 8M');
    await must('qemu-img', [...change, top.path, ...(change[0] === 'bitmap' ? ['b'] : [])]);
    expect((await plan([top], SIZE)).kept).toBe(0);
  });

  it('unless much of it is dropped', async () => {
    const writes = ['write -P 1 0 8M', 'discard 1M 1M'];
    const top = await files.makeOverlay('dropped.qcow2', { size: SIZE }, ...writes);
    expect((await plan([top], SIZE)).kept).toBe(0);
  });
});

describe('where files can share blocks', () => {
  it("the image has the layers' own, also where they end oddly, and copies the rest", async () => {
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
    await expectWhole([top, middle, base], size, path, { shares: true });

    // 48 MiB of data, of which 3 MiB are in clusters of their own, and XFS takes some ahead.
    expect(before - (await disk.free())).toBeLessThan(20 * MIB);
    expect(await must('filefrag', ['-v', path])).toContain('shared');
    rmSync(base.path);
    expect((await imageCheck(path, 'qcow2')).exitCode).toBe(0);
    await expectWhole([{ path, format: 'qcow2' }], size, at('again.qcow2'), { shares: false });
  });

  it('nothing is shared where too much lies at odd places, and an abort ends it', async () => {
    const disk = await makeSmallDisk(400, 'xfs');
    const { at, makeRaw, makeOverlay } = makeChainFiles(disk.path);
    const size = 64 * MIB;
    const odd = ['-o', 'cluster_size=512'];
    // What it begins with can be shared, and is taken back.
    const base = await makeRaw('base.raw', size, [[0, 4 * MIB]]);
    const middle = await makeOverlay(
      'middle.qcow2',
      { size, below: base, options: odd },
      ...['write -P 3 8M 512', `write -P 4 ${16 * MIB + 512} 20M`],
    );
    const top = await makeOverlay('top.qcow2', { size, below: middle }, 'write -P 5 50M 4M');
    const path = at('image.qcow2');
    await expectWhole([top, middle, base], size, path, { shares: true, kept: expect.any(Number) });
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
