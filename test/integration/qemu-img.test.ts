// Runs qemu-img on small images: formats, compression, overlays, special file names, aborts, no space.
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  check,
  compare,
  convert,
  createOverlay,
  info,
  type MapExtent,
  map,
  measure,
  supportsCompression,
  version,
} from '#built/qemu/qemu-img.js';

const MIB = 1024 * 1024;
const SIZE = 64 * MIB;
const folder = mkdtempSync(join(tmpdir(), 'qemu-img-'));
const raw = { path: join(folder, 'source.raw'), format: 'raw' };
const at = (name: string) => join(folder, name);

beforeAll(() => {
  const data = Buffer.concat([randomBytes(8 * MIB), Buffer.alloc(8 * MIB, 'compressible ')]);
  writeFileSync(raw.path, Buffer.concat([data, Buffer.alloc(SIZE - data.length)]));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Returns the ids of processes whose command line has `text` in it. */
function processesWith(text: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid) || pid === String(process.pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text);
    } catch {
      return false; // it ended meanwhile
    }
  });
}

async function convertRaw(path: string, format: 'qcow2' | 'raw', virtualSize = SIZE) {
  await convert({ source: raw, target: { path, format }, compress: 'none', virtualSize });
}

it('`version` returns the version number of qemu-img', async () => {
  expect(await version()).toMatch(/^\d+\.\d+/);
});

describe('`convert`', () => {
  for (const format of ['qcow2', 'raw', 'vmdk', 'vdi', 'vhdx'] as const)
    for (const compress of ['none', 'zlib', 'zstd'] as const) {
      if (!supportsCompression(format, compress)) {
        it(`refuses ${format} with ${compress} before anything runs`, async () => {
          const target = { path: at('never'), format };
          await expect(
            convert({ source: raw, target, compress, virtualSize: SIZE }),
          ).rejects.toMatchObject({ code: 'USAGE' });
          expect(readdirSync(folder)).not.toContain('never');
        });
        continue;
      }
      it(`writes ${format} with ${compress}: equal bytes, intact tables, progress up to the end`, async () => {
        const target = { path: at(`${format}-${compress}`), format };
        const reported: number[] = [];
        const onProgress = (bytes: number, total: number) => {
          expect(total).toBe(SIZE);
          reported.push(bytes);
        };
        await convert({ source: raw, target, compress, virtualSize: SIZE, onProgress });
        expect(await compare(raw, target)).toMatchObject({ identical: true });
        expect((await check(target)).state).toBe(format === 'raw' ? 'not applicable' : 'clean');
        expect(reported).toEqual([...reported].sort((a, b) => a - b));
        expect(reported.at(-1)).toBe(SIZE);
        expect(reported.length).toBeGreaterThan(1);
        expect(statSync(target.path).mode & 0o777).toBe(0o600);
        const about = await info(target);
        expect(about).toMatchObject({ format, virtualSize: SIZE, backingFile: null });
        if (compress !== 'none') expect(about.actualSize).toBeLessThan(10 * MIB);
        if (format === 'qcow2' && compress === 'zstd') expect(about.compressionType).toBe('zstd');
        if (format === 'vmdk')
          expect(about.subformat).toBe(
            compress === 'none' ? 'monolithicSparse' : 'streamOptimized',
          );
      });
    }

  it('never takes more space than `measure` returned', async () => {
    for (const format of ['qcow2', 'raw', 'vmdk', 'vdi', 'vhdx'] as const) {
      const { required, fullyAllocated } = await measure({ source: raw, targetFormat: format });
      const { actualSize } = await info({ path: at(`${format}-none`), format });
      expect(actualSize).toBeLessThanOrEqual(required);
      expect(required).toBeLessThanOrEqual(fullyAllocated);
    }
  });

  it('throws NO_SPACE on a full file system', async () => {
    const small = at('small');
    mkdirSync(small);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', small]);
    try {
      await expect(convertRaw(join(small, 'x'), 'qcow2')).rejects.toMatchObject({
        code: 'NO_SPACE',
        step: 'convert',
      });
    } finally {
      execFileSync('umount', [small]);
    }
  });
});

describe('special characters in file names', () => {
  const names = [
    'a,b:c',
    '-O',
    'json:{"driver":"null-co"}',
    'nbd:127.0.0.1:1',
    'fat:rw',
    '%d',
    'a,',
  ];
  names.push(
    'sp ace',
    `"double" 'single'`,
    'back\\slash',
    'ünïcode ☃',
    'new\nline',
    'a=b,driver=raw',
  );
  for (const name of names)
    it(JSON.stringify(name), async () => {
      const base = { path: at(name), format: 'qcow2' };
      const overlay = { path: at(`overlay of ${name}`), format: 'qcow2' as const };
      await convertRaw(base.path, 'qcow2');
      await createOverlay({ ...overlay, virtualSize: SIZE, backing: base });
      expect(await info(overlay)).toMatchObject({
        backingFile: base.path,
        fullBackingFile: base.path,
        backingFormat: 'qcow2',
      });
      const backingChain = [base];
      const flat = { path: at(`flat ${name}`), format: 'vmdk' as const };
      const source = { ...overlay, backingChain };
      await convert({ source, target: flat, compress: 'none', virtualSize: SIZE });
      for (const image of [base, overlay, source, flat])
        expect((await compare(raw, image)).identical).toBe(true);
      expect((await check(overlay)).state).toBe('clean');
    });
});

describe('an overlay', () => {
  it('has its extents reported by `map`, each with its layer', async () => {
    const base = { path: at('base.qcow2'), format: 'qcow2' };
    const overlay = { path: at('overlay.qcow2'), format: 'qcow2' as const };
    await convertRaw(base.path, 'qcow2');
    await createOverlay({ ...overlay, virtualSize: SIZE, backing: base });
    execFileSync('qemu-io', ['-f', 'qcow2', '-c', 'write -P 7 40M 1M', overlay.path]);
    const extents: MapExtent[] = [];
    await map(overlay, (extent) => extents.push(extent));
    expect(extents.find((extent) => extent.start === 0)).toMatchObject({ depth: 1, data: true });
    expect(extents.find((extent) => extent.start === 40 * MIB)).toMatchObject({
      ...{ depth: 0, length: MIB, data: true, present: true },
    });
    expect(extents.at(-1)).toMatchObject({ zero: true, data: false });
    expect(extents.reduce((sum, extent) => sum + extent.length, 0)).toBe(SIZE);
    const differs = await compare(raw, overlay);
    expect(differs).toEqual({
      identical: false,
      detail: expect.stringContaining(`mismatch at offset ${40 * MIB}`),
    });
  });

  it('is empty without a backing file', async () => {
    const path = at('alone.qcow2');
    await createOverlay({ path, format: 'qcow2', virtualSize: SIZE, backing: null });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await info({ path, format: 'qcow2' })).toMatchObject({
      virtualSize: SIZE,
      backingFile: null,
      backingFormat: null,
    });
  });

  it('is refused if the backing format is wrong', async () => {
    const backing = { path: raw.path, format: 'qcow2' };
    await expect(
      createOverlay({ path: at('x'), format: 'qcow2', virtualSize: SIZE, backing }),
    ).rejects.toMatchObject({ code: 'QEMU_IMG', step: 'delta' });
  });

  it('is read by `info` even if its backing file is missing', async () => {
    const base = { path: at('missing.qcow2'), format: 'qcow2' };
    const overlay = { path: at('orphan.qcow2'), format: 'qcow2' as const };
    await convertRaw(base.path, 'qcow2');
    await createOverlay({ ...overlay, virtualSize: SIZE, backing: base });
    rmSync(base.path);
    expect((await info(overlay)).backingFile).toBe(base.path);
    await expect(compare(raw, overlay)).rejects.toMatchObject({ code: 'QEMU_IMG' });
  });

  it('that is named as raw is read as raw, also with a header of another format', async () => {
    const forged = { path: at('forged'), format: 'raw' };
    const secret = { path: raw.path, format: 'raw' };
    await createOverlay({ path: forged.path, format: 'qcow2', virtualSize: SIZE, backing: secret });
    const target = { path: at('from-forged'), format: 'raw' as const };
    await convert({ source: forged, target, compress: 'none', virtualSize: SIZE });
    expect(readFileSync(target.path).subarray(0, 4)).toEqual(Buffer.from('QFI\xfb', 'latin1'));
  });
});

it('`info` reads a disk in use only with `shared`, and names the lock otherwise', async () => {
  const disk = { path: at('in-use.qcow2'), format: 'qcow2' };
  await convertRaw(disk.path, 'qcow2');
  const writer = spawn('qemu-io', ['-f', 'qcow2', disk.path], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  try {
    writer.stdin.write('read 0 512\n');
    await new Promise((done) => writer.stdout.once('data', done));
    await expect(info(disk)).rejects.toMatchObject({
      message: expect.stringMatching(/lock; another process has the file open/),
      hint: 'wait for that process, or stop it',
    });
    expect((await info({ ...disk, shared: true })).virtualSize).toBe(SIZE);
    expect((await compare(raw, { ...disk, shared: true })).identical).toBe(true);
  } finally {
    writer.stdin.end('quit\n');
    await new Promise((done) => writer.once('exit', done));
  }
});

it('`check` reports a damaged image as corrupt', async () => {
  const disk = { path: at('damaged.qcow2'), format: 'qcow2' };
  await convertRaw(disk.path, 'qcow2');
  const bytes = readFileSync(disk.path);
  const refcountTable = Number(bytes.readBigUInt64BE(48));
  bytes.fill(
    0,
    Number(bytes.readBigUInt64BE(refcountTable)),
    65536 + Number(bytes.readBigUInt64BE(refcountTable)),
  );
  writeFileSync(disk.path, bytes);
  const result = await check(disk);
  expect(result.state).toBe('corrupt');
  expect(result.corruptions).toBeGreaterThan(0);
});

describe('a call that does not run to its end', () => {
  const big = { path: at('big.raw'), format: 'raw' };
  const target = { path: at('partial.qcow2'), format: 'qcow2' as const };
  beforeAll(() => {
    // Random for zstd to work on, long enough to be stopped in the middle.
    const block = randomBytes(64 * MIB);
    for (let i = 0; i < 8; i++) writeFileSync(big.path, block, { flag: 'a' });
  });
  const request = { source: big, target, compress: 'zstd' as const, virtualSize: 512 * MIB };

  it('throws the reason of an abort and leaves no child process', async () => {
    const controller = new AbortController();
    const reason = new Error('stop');
    const onProgress = () => controller.abort(reason);
    await expect(convert({ ...request, onProgress, signal: controller.signal })).rejects.toBe(
      reason,
    );
    expect(processesWith(target.path)).toEqual([]);
  });

  it('starts nothing if it was aborted before', async () => {
    const signal = AbortSignal.abort(new Error('early'));
    await expect(convert({ ...request, signal })).rejects.toThrow('early');
  });

  it('is stopped at its deadline, which the error names', async () => {
    await expect(convert({ ...request, timeoutMs: 50 })).rejects.toMatchObject({
      code: 'QEMU_IMG',
      message: expect.stringContaining('its deadline'),
      hint: expect.stringContaining('timeouts.convertMs'),
    });
    expect(processesWith(target.path)).toEqual([]);
  });

  it('fails with the name of the signal that killed qemu-img', async () => {
    const onProgress = () => {
      for (const pid of processesWith(target.path)) process.kill(Number(pid), 'SIGKILL');
    };
    await expect(convert({ ...request, onProgress })).rejects.toMatchObject({
      code: 'QEMU_IMG',
      message: expect.stringContaining('killed by SIGKILL'),
    });
  });

  it('has a hint with the package if qemu-img is missing', async () => {
    const path = process.env.PATH;
    process.env.PATH = folder;
    try {
      await expect(version()).rejects.toMatchObject({
        code: 'QEMU_IMG',
        message: 'qemu-img --version on this host could not start: qemu-img is not in PATH',
        hint: expect.stringContaining('install the package qemu-utils'),
      });
    } finally {
      process.env.PATH = path;
    }
  });
});
