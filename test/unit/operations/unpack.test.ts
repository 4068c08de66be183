// A failed unpacking says whether memory was short or the data is damaged.
import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { unpack } from '#built/operations/import/fetch/unpack.js';

/** `hello` with a dictionary of 512 MiB, which the decoder would have to allocate. */
const XZ =
  '/Td6WFoAAATm1rRGAgAhASIAAACCQKzcAQAEaGVsbG8AAAAAsTe52+XaHpsAAR0FuC2Arx+2830BAAAAAARZWg==';
/** `hello` as one raw block, after a header with a window of 2 GiB. */
const ZSTD = Buffer.concat([
  Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x29, 0x00, 0x00]),
  Buffer.from('hello'),
]).toString('base64');

async function unpackAll(base64: string, packing: 'xz' | 'zstd'): Promise<string> {
  const packed = Readable.from([Buffer.from(base64, 'base64')], { objectMode: false });
  const chunks: Uint8Array[] = [];
  for await (const chunk of unpack(packed, packing, new AbortController().signal))
    chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks).toString();
}

it.each([
  ['xz', XZ, '256 MiB'],
  ['zstd', ZSTD, '128 MiB'],
] as const)(
  '`import` refuses %s data that needs more memory than the limit, with a hint',
  async (packing, bytes, limit) => {
    await expect(unpackAll(bytes, packing)).rejects.toMatchObject({
      code: 'IMAGE_REFUSED',
      message: `the image needs more memory to unpack than the ${limit} that ${packing} is allowed`,
      hint: 'unpack it by hand, and import the plain file',
    });
  },
);

it.each(['xz', 'zstd'] as const)(
  '`import` refuses damaged %s data, and hints to fetch it again',
  async (packing) => {
    const cut = Buffer.from(packing === 'xz' ? XZ : ZSTD, 'base64');
    const damaged = Buffer.concat([cut.subarray(0, 5), Buffer.from('x'.repeat(40))]);
    await expect(unpackAll(damaged.toString('base64'), packing)).rejects.toMatchObject({
      ...{ code: 'IMAGE_REFUSED', hint: 'fetch it again' },
    });
  },
);
