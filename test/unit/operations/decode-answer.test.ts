// The body of an HTTP answer is decoded layer by layer, and no layer grows beyond the bounds.
import { Readable } from 'node:stream';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { decodeAnswer } from '#built/operations/import/fetch/decode-answer.js';

const plain = Buffer.from('bytes of a disk '.repeat(5000));
const { signal } = new AbortController();
const MIB = 1024 * 1024;

async function decoded(
  sent: Buffer,
  encodings: Parameters<typeof decodeAnswer>[1]['encodings'],
  maxBytes = MIB,
): Promise<Buffer> {
  // One byte at first, as a slow network sends it.
  const body = Readable.from([sent.subarray(0, 1), sent.subarray(1)], { objectMode: false });
  const chunks: Buffer[] = [];
  for await (const chunk of decodeAnswer(body, { encodings, maxBytes, signal })) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe('decodes', () => {
  it('gzip, zlib and bare deflate, brotli, several in a row, and what is not encoded', async () => {
    expect(await decoded(plain, [])).toEqual(plain);
    expect(await decoded(gzipSync(plain), ['gzip'])).toEqual(plain);
    expect(await decoded(deflateSync(plain), ['deflate'])).toEqual(plain);
    expect(await decoded(deflateRawSync(plain), ['deflate'])).toEqual(plain);
    expect(await decoded(brotliCompressSync(plain), ['brotli'])).toEqual(plain);
    const twice = brotliCompressSync(deflateSync(plain));
    expect(await decoded(twice, ['brotli', 'deflate'])).toEqual(plain);
  });
});

describe('fails', () => {
  it.each(['gzip', 'deflate', 'brotli'] as const)(
    'on %s that is cut short, or is none',
    async (encoding) => {
      const whole = { gzip: gzipSync, deflate: deflateSync, brotli: brotliCompressSync }[encoding](
        plain,
      );
      for (const sent of [whole.subarray(0, -9), Buffer.alloc(0), Buffer.alloc(5000, 0xff)])
        await expect(decoded(sent, [encoding])).rejects.toMatchObject({
          code: 'DOWNLOAD',
          message: expect.stringContaining(encoding),
        });
    },
  );

  it('on a layer larger than the limit, also one that decodes to nothing', async () => {
    const bomb = gzipSync(Buffer.alloc(2 * MIB));
    await expect(decoded(bomb, ['gzip'])).rejects.toMatchObject({ code: 'IMAGE_REFUSED' });
    // Streams of nothing, one behind the other: no byte ever comes out of the inner layer.
    const nothing = gzipSync(Buffer.alloc(0));
    const hollow = gzipSync(Buffer.concat(Array.from({ length: 100_000 }, () => nothing)));
    const decoding = decoded(hollow, ['gzip', 'gzip']);
    await expect(decoding).rejects.toMatchObject({ code: 'IMAGE_REFUSED' });
  });

  it('with the error of its source', async () => {
    const body = new Readable({ read: () => undefined });
    const bytes = decodeAnswer(body, { encodings: ['gzip', 'deflate'], maxBytes: MIB, signal });
    body.destroy(new Error('the connection broke'));
    await expect(bytes.toArray()).rejects.toThrow('the connection broke');
  });
});
