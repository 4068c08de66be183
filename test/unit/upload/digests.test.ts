// Digests are what sha256sum, sha512sum and md5sum say they are, by thread and by stream.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { digestAlgorithms, openDigester } from '#built/upload/digests.js';
import { hashImage } from '#built/upload/hash-image.js';
import { fileSource } from '#built/upload/source.js';

const folder = mkdtempSync(join(tmpdir(), 'vp-digests-'));
afterAll(() => rmSync(folder, { recursive: true }));

const file = join(folder, 'image');
const bytes = randomBytes(37 * 1024 * 1024 + 13);
writeFileSync(file, bytes);

function judge(tool: string, path: string): string {
  return execFileSync(tool, [path], { encoding: 'utf8' }).slice(0, -1).split(' ')[0] ?? '';
}

async function sources() {
  const byPath = await fileSource(file);
  return { thread: byPath, stream: { size: byPath.size, open: byPath.open } };
}

describe.each(['thread', 'stream'] as const)('by %s', (kind) => {
  test('all three digests agree with the tools', async () => {
    const source = (await sources())[kind];
    const seen: number[] = [];
    const digests = await hashImage(source, ['sha256', 'md5', 'sha512'], {
      onProgress: (done) => seen.push(done),
    });
    expect(digests).toEqual({
      sha256: judge('sha256sum', file),
      md5: judge('md5sum', file),
      sha512: judge('sha512sum', file),
    });
    expect(seen.at(-1)).toBe(bytes.length);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
  });

  test('a range has a digest of its own, whatever came before', async () => {
    const digester = openDigester((await sources())[kind], 'md5');
    const whole = digester.update(0, bytes.length);
    const part = join(folder, 'part');
    writeFileSync(part, bytes.subarray(1000, 3_000_001));
    expect(await digester.range(1000, 3_000_001)).toBe(judge('md5sum', part));
    await whole;
    expect(await digester.digest()).toBe(judge('md5sum', file));
    await digester.close();
  });

  test('an empty image has the digest of nothing', async () => {
    const empty = join(folder, 'empty');
    writeFileSync(empty, '');
    const source = await fileSource(empty);
    const { path: _, ...stream } = source;
    const digests = await hashImage(kind === 'thread' ? source : stream, ['sha256'], {});
    expect(digests.sha256).toBe(judge('sha256sum', empty));
  });

  test('a file that became shorter is an error, not a digest', async () => {
    const short = join(folder, `short-${kind}`);
    writeFileSync(short, randomBytes(3_000_000));
    const source = await fileSource(short);
    const { path: _, ...stream } = source;
    truncateSync(short, 2_000_000);
    await expect(
      hashImage(kind === 'thread' ? source : stream, ['sha256'], {}),
    ).rejects.toMatchObject({ code: 'UPLOAD', message: expect.stringContaining('ended') });
  });
});

test('a file that is not there is an error by its path', async () => {
  await expect(fileSource(join(folder, 'none'))).rejects.toMatchObject({
    code: 'UPLOAD',
    message: expect.stringContaining(join(folder, 'none')),
  });
});

test('a signal ends the hashing', async () => {
  const controller = new AbortController();
  const hashing = hashImage((await sources()).thread, ['sha256'], {
    signal: controller.signal,
    onProgress: () => controller.abort(),
  });
  await expect(hashing).rejects.toMatchObject({ code: 'INTERRUPTED' });
});

test('sha256 is always among the algorithms, and once; an unknown one is refused', () => {
  expect(digestAlgorithms()).toEqual(['sha256']);
  expect(digestAlgorithms(['md5', 'sha256', 'md5', 'sha512'])).toEqual(['sha256', 'md5', 'sha512']);
  expect(() => digestAlgorithms(['crc32'])).toThrow(
    expect.objectContaining({ code: 'USAGE', message: expect.stringContaining('crc32') }),
  );
});
