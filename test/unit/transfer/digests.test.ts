// Digests are what sha256sum, sha512sum and md5sum say they are.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { sharedPieces } from '#built/host/io/direct-file.js';
import type { ImageSource, RangeReader } from '#built/host/io/image-source.js';
import { Digester, digestAlgorithms } from '#built/transfer/digests/digests.js';
import { hashImage } from '#built/transfer/digests/hash-image.js';
import { fileSource } from '#built/transfer/upload/file-source.js';

const folder = mkdtempSync(join(tmpdir(), 'vp-digests-'));
afterAll(() => rmSync(folder, { recursive: true }));

const file = join(folder, 'image');
const bytes = randomBytes(37 * 1024 * 1024 + 13);
writeFileSync(file, bytes);

function judge(tool: string, path: string): string {
  return execFileSync(tool, [path], { encoding: 'utf8' }).slice(0, -1).split(' ')[0] ?? '';
}

/** The same bytes, in reads of what the object of a store may give. */
function slowly(source: ImageSource): ImageSource {
  const read: RangeReader['read'] = async (memory, start, end) => {
    await setImmediate();
    memory.set(bytes.subarray(start, end));
    return end - start;
  };
  return { size: source.size, reader: () => ({ read, close: async () => undefined }) };
}

test.each(['a file', 'something else'])(
  'all three digests of %s agree with the tools',
  async (kind) => {
    const whole = await fileSource(file);
    const source = kind === 'a file' ? whole : slowly(whole);
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
  },
);

test('one thread computes several digests side by side, of memory that is shared or not', async () => {
  const digester = new Digester('md5');
  const [shared = new Uint8Array()] = sharedPieces(4 * 1024 * 1024, 1);
  shared.set(bytes.subarray(0, shared.length));
  const whole = digester.update(shared);
  const part = join(folder, 'part');
  writeFileSync(part, bytes.subarray(1000, 3_000_001));
  await digester.update(bytes.subarray(1000, 2_000_000), 7);
  await digester.update(bytes.subarray(2_000_000, 3_000_001), 7);
  expect(await digester.digest(7)).toBe(judge('md5sum', part));
  await whole;
  await digester.update(bytes.subarray(shared.length));
  expect(await digester.digest()).toBe(judge('md5sum', file));
  await digester.close();
  await expect(digester.digest()).rejects.toMatchObject({ code: 'UPLOAD' });
});

test('an empty image has the digest of nothing', async () => {
  const empty = join(folder, 'empty');
  writeFileSync(empty, '');
  const digests = await hashImage(await fileSource(empty), ['sha256'], {});
  expect(digests.sha256).toBe(judge('sha256sum', empty));
});

test.each([2_000_000, 0])(
  'a file that was cut to %i bytes is an error, not a digest',
  async (left) => {
    const short = join(folder, `short-${left}`);
    writeFileSync(short, randomBytes(3_000_000));
    const source = await fileSource(short);
    truncateSync(short, left);
    await expect(hashImage(source, ['sha256'], {})).rejects.toMatchObject({
      code: 'UPLOAD',
      message: expect.stringContaining(`ended at byte ${left}`),
    });
  },
);

test('a missing file is an error that names its path', async () => {
  await expect(fileSource(join(folder, 'none'))).rejects.toMatchObject({
    code: 'UPLOAD',
    message: expect.stringContaining(join(folder, 'none')),
  });
});

test('a signal ends the hashing', async () => {
  const controller = new AbortController();
  const hashing = hashImage(await fileSource(file), ['sha256'], {
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
