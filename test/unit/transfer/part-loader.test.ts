// The memory of parts: from one upload to the next, never shared with who may still use it.
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { RangeReader } from '#built/host/io/image-source.js';
import { type LoadedPart, PartLoader } from '#built/transfer/upload/part-loader.js';

const MIB = 1024 * 1024;
const LARGE = { number: 1, start: 0, end: 33 * MIB + 5 };
const SMALL = { number: 1, start: 0, end: MIB };

/** The byte at each place is its number of MiB; a MiB is written each `ms`. */
function reader(ms: () => number): RangeReader {
  const read: RangeReader['read'] = async (memory, start, end) => {
    const each = ms();
    for (let at = start; at < end; at += MIB) {
      await sleep(each);
      memory.fill(at / MIB, at - start, Math.min(at + MIB, end) - start);
    }
    return end - start;
  };
  return { read, close: async () => undefined };
}

async function digestOf({ chunks }: LoadedPart, from: RangeReader, { end }: typeof LARGE) {
  const hash = createHash('sha256');
  for await (const chunk of chunks()) hash.update(chunk);
  const bytes = new Uint8Array(end);
  await from.read(bytes, 0, end);
  return [hash.digest('hex'), createHash('sha256').update(bytes).digest('hex')];
}

test('a retry of a part larger than its memory is not overwritten by the first attempt', async () => {
  let ms = 0;
  const slow = reader(() => ms);
  const loader = new PartLoader(slow, 1);
  const loaded = await loader.load(LARGE);
  ms = 23;
  // Its read is under way, and nothing waits for it.
  const first = (loaded.chunks() as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  void first.next();
  await sleep(1);
  ms = 3;
  const [sent, expected] = await digestOf(loaded, slow, LARGE);
  expect(sent).toBe(expected);
  loaded.release();
  await loader.close();
});

test('memory is reused by the next upload, unless it may still be read', async () => {
  const fast = reader(() => 0);
  const bufferOf = async (use: (loaded: LoadedPart) => void) => {
    const loader = new PartLoader(fast, 1);
    const loaded = await loader.load(SMALL);
    const [chunk] = loaded.chunks() as Iterable<Uint8Array>;
    use(loaded);
    loaded.release();
    await loader.close();
    return chunk?.buffer;
  };
  const one = await bufferOf(() => undefined);
  expect(one).toBeInstanceOf(SharedArrayBuffer);
  expect(await bufferOf(({ abandon }) => abandon())).toBe(one);
  expect(await bufferOf(() => undefined)).not.toBe(one);
});

test('memory of a read that failed or hangs is not reused', async () => {
  const broken: RangeReader = {
    read: () => Promise.reject(new Error('the disk failed')),
    close: async () => undefined,
  };
  const loader = new PartLoader(broken, 1);
  await expect(loader.load(SMALL)).rejects.toThrow('the disk failed');
  await expect(loader.load(SMALL)).rejects.toMatchObject({ code: 'INTERNAL' });
  await loader.close();
});
