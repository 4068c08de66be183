// `plannedSource`: a flat qcow2 that is read in ranges without being written, compared with the written file.
import { readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { stat, truncate } from 'node:fs/promises';
import { afterAll, expect, it } from 'vitest';
import { alignedSharedMemory } from '#built/host/io/direct-file.js';
import type { RangeReader } from '#built/host/io/image-source.js';
import { markOfPlan, type PlannedImage, planImage } from '#built/image/plan/plan-image.js';
import { plannedSource, writeTables } from '#built/image/plan/planned-source.js';
import { writeImage } from '#built/image/write-image.js';
import { hashImage } from '#built/transfer/digests/hash-image.js';
import { type ChainFile, makeChainFiles } from '../support/chain-files.ts';
import { must } from '../support/exec.ts';
import { imageCheck, sameContent } from '../support/judges.ts';
import { runScript } from '../support/run-script.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const SIZE = 700 * MIB + 512;
const { folder, at, makeRaw, makeOverlay } = makeChainFiles();
const { signal } = new AbortController();
const limits = { timeoutMs: 60_000, signal };

afterAll(() => rmSync(folder, { recursive: true }));

async function plan([top, ...below]: ChainFile[], virtualSize: number): Promise<PlannedImage> {
  if (!top) throw new Error('there is no layer');
  const source = { ...top, backingChain: below, ...limits };
  const planned = await planImage(source, virtualSize);
  if (!planned) throw new Error('it cannot be planned');
  return planned;
}

/** Holes, zeros over data, parts of clusters, and an odd end: two layers. */
async function makeChain(name: string): Promise<[ChainFile, ChainFile]> {
  const base = await makeRaw(`${name}.raw`, 650 * MIB + 999, [
    [0, MIB],
    [5 * MIB, 40 * MIB],
    [300 * MIB, 3000],
    [600 * MIB - 1, 2],
  ]);
  const top = await makeOverlay(
    `${name}.qcow2`,
    { size: SIZE, below: base },
    ...['write -P 7 10M 8M', 'write -z 22M 5M', 'write -P 3 512M 100k', 'write -P 5 40M 12M'],
    `write -P 1 ${SIZE - 70_144} 70144`,
  );
  return [top, base];
}

/** Returns the bytes `start` to `end`, read into memory that begins `shift` bytes behind a page. */
async function pull(reader: RangeReader, start: number, end: number, shift = 0): Promise<Buffer> {
  const memory = new Uint8Array(alignedSharedMemory(end - start + shift), shift, end - start);
  const bytes = await reader.read(memory, start, end);
  return Buffer.from(memory.slice(0, bytes));
}

it('`plannedSource` reads the bytes of the written file, in any ranges, concurrently', async () => {
  const chain = await makeChain('whole');
  const planned = await plan(chain, SIZE);
  const path = at('written.qcow2');
  const options = { path, algorithms: ['sha256'], onSettled: () => undefined, ...limits };
  const { sha256 } = await writeImage(planned, options);
  const written = readFileSync(path);
  const source = plannedSource(planned, limits);
  expect(source.size).toBe(written.byteLength);
  const reader = source.reader();

  const part = 16 * MIB;
  const starts = Array.from({ length: Math.ceil(source.size / part) }, (_, n) => n * part);
  const parts = await Promise.all(
    starts.map((start) => pull(reader, start, Math.min(start + part, source.size))),
  );
  const pulled = { path: at('pulled.qcow2'), format: 'qcow2' };
  writeFileSync(pulled.path, Buffer.concat(parts));
  expect(readFileSync(pulled.path).equals(written)).toBe(true);
  const check = await imageCheck(pulled.path, 'qcow2');
  expect(check, check.stdout + check.stderr).toMatchObject({ exitCode: 0 });
  expect(await sameContent(chain[0], pulled)).toBe(true);

  const end = source.size;
  const ranges: [start: number, end: number, shift?: number][] = [
    ...([
      [0, 0],
      [0, 1],
      [3, 104],
      [4096, 8192],
      [65_535, 65_537],
    ] as [number, number][]),
    ...([
      [1, end],
      [4096, 20 * MIB],
      [12_345, 9 * MIB + 777],
      [end - 5, end],
    ] as [number, number][]),
    ...([
      [0, 5 * MIB, 512],
      [2 * MIB, 8 * MIB, 1],
      [3 * MIB + 512, 7 * MIB, 512],
    ] as [number, number, number][]),
  ];
  await Promise.all(
    ranges.map(async ([from, until, shift]) => {
      const got = await pull(reader, from, until, shift);
      expect(got.equals(written.subarray(from, until)), `${from} to ${until}`).toBe(true);
    }),
  );
  // It ends where the file does.
  expect(await pull(reader, end - 100, end + 100)).toEqual(written.subarray(end - 100));
  expect(await pull(reader, end, end + 100)).toHaveLength(0);
  await expect(reader.read(Buffer.alloc(10), 0, 10)).rejects.toThrow('not shared');
  const small = new Uint8Array(new SharedArrayBuffer(9));
  await expect(reader.read(small, 0, 10)).rejects.toThrow('too small');
  await reader.close();

  expect(await hashImage(source, ['sha256'], {})).toEqual({ sha256 });
  await expect(source.checkUnchanged?.()).resolves.toBeUndefined();

  const tables = at('tables.qcow2');
  await writeTables(planned, tables, limits);
  const judged = await imageCheck(tables, 'qcow2');
  expect(judged, judged.stdout + judged.stderr).toMatchObject({ exitCode: 0 });
  const { size, blocks } = await stat(tables);
  expect(size).toBe(source.size);
  const dataAt = size - planned.dataBytes;
  expect(blocks * 512).toBeLessThanOrEqual(dataAt);
  const expected = Buffer.concat([written.subarray(0, dataAt), Buffer.alloc(size - dataAt)]);
  expect(readFileSync(tables).equals(expected)).toBe(true);
  const full = writeTables(planned, '/dev/full', limits);
  await expect(full).rejects.toMatchObject({ code: 'NO_SPACE' });
});

it('`markOfPlan` is equal for a second plan, and differs after a layer was changed', async () => {
  const [top, base] = await makeChain('again');
  const planned = await plan([top, base], SIZE);
  const again = await plan([top, base], SIZE);
  expect(again).toEqual(planned);
  expect(markOfPlan(again)).toBe(markOfPlan(planned));

  await must('qemu-io', ['-f', 'raw', '-c', 'write -P 1 6M 512', base.path]);
  await expect(plannedSource(planned, limits).checkUnchanged?.()).rejects.toMatchObject({
    ...{ code: 'INTEGRITY', step: 'upload', retryable: true },
    message: expect.stringContaining('again.raw was changed while it was read'),
  });
  expect(markOfPlan(await plan([top, base], SIZE))).not.toBe(markOfPlan(planned));
});

it('`plannedSource` fails with the name of a truncated or missing layer', async () => {
  const chain = await makeChain('cut');
  const planned = await plan(chain, SIZE);
  const source = plannedSource(planned, limits);
  const reader = source.reader();
  await pull(reader, 0, 64 * KIB);
  await truncate(chain[1].path, 30 * MIB + 100_000);
  const reading = (what: string) => ({
    ...{ code: 'UPLOAD', step: 'upload' },
    message: expect.stringMatching(
      new RegExp(`^reading .*cut.qcow2 and the files below it failed: .*${what}`),
    ),
  });
  await expect(pull(reader, 0, source.size)).rejects.toMatchObject(
    reading('cut.raw ended before its data'),
  );
  // Other data can still be read.
  expect(await pull(reader, 0, 64 * KIB)).toHaveLength(64 * KIB);
  await reader.close();
  rmSync(chain[1].path);
  const late = source.reader();
  await expect(pull(late, 0, source.size)).rejects.toMatchObject(
    reading("no such file or directory.*'.*cut.raw'"),
  );
  await late.close();
  await expect(source.checkUnchanged?.()).rejects.toMatchObject({ code: 'INTEGRITY' });
});

it('`close` rejects pending reads, and an open reader keeps no process alive', async () => {
  const chain = await makeChain('closing');
  const planned = await plan(chain, SIZE);
  const source = plannedSource(planned, limits);
  const reader = source.reader();
  const reads = Array.from({ length: 20 }, () => pull(reader, 0, 8 * MIB));
  const ends = Promise.allSettled(reads);
  await Promise.race(reads);
  expect(openFiles()).toBeGreaterThan(0);
  await reader.close();
  const late = expect.objectContaining({ code: 'UPLOAD' });
  expect((await ends).at(-1)).toEqual({ status: 'rejected', reason: late });
  await expect(pull(reader, 0, 1)).rejects.toMatchObject({ code: 'UPLOAD' });
  expect(openFiles()).toBe(0);
  // A reader without reads can be closed, and one whose thread hangs in its storage: here a FIFO
  // without a writer.
  await source.reader().close();
  await must('mkfifo', [at('fifo')]);
  const hanging = plannedSource({ ...planned, layers: [at('fifo')] }, limits).reader();
  const never = pull(hanging, 0, 1);
  await Promise.all([expect(never).rejects.toThrow('the reader was closed'), hanging.close()]);
  // Releases the thread.
  await must('sh', ['-c', 'exec 3<>"$0"; sleep 0.3', at('fifo')]);

  const built = new URL('../../build/', import.meta.url).href;
  const { exitCode, stdout, stderr } = await runScript(`
    import { plannedSource } from '${built}image/plan/planned-source.js';
    const file = '${chain[1].path}';
    const one = (n) => Float64Array.of(n);
    const extents = { count: 1, start: one(0), length: one(${MIB}), depth: Uint8Array.of(0), at: one(0) };
    const reader = plannedSource({ layers: [file], marks: [], cold: [false], extents, virtualSize: ${MIB} }).reader();
    const bytes = await reader.read(new Uint8Array(new SharedArrayBuffer(100)), 0, 100);
    console.log('read', bytes);
  `);
  expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 0, stdout: 'read 100\n', stderr: '' });
});

/** Returns how many of the chains' files this process has open. */
function openFiles(): number {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return links.filter((path) => path.startsWith(folder)).length;
}
