// Decodes the body of an HTTP answer, each layer within the limit of the download.
import { pipeline, Readable, type Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate, createInflateRaw } from 'node:zlib';
import { messageOf, PublishError } from '../../../core/errors.ts';
import type { Encoding } from './answer-headers.ts';
import { unpack } from './unpack.ts';
import { tooLarge } from './write-bounded.ts';

interface DecodeOptions {
  /** The outermost first. */
  encodings: readonly Encoding[];
  maxBytes: number;
  signal: AbortSignal;
}

/**
 * Returns the decoded bytes. The stream fails with DOWNLOAD if they cannot be decoded,
 * with IMAGE_REFUSED if a layer has more than `maxBytes`, and with the error of `body`.
 */
export function decodeAnswer(
  body: Readable,
  { encodings, maxBytes, signal }: DecodeOptions,
): Readable {
  let bytes = body;
  for (const encoding of encodings) {
    const layer = bounded(decode(bytes, encoding, signal), { encoding, maxBytes, signal });
    bytes = Readable.from(layer, { objectMode: false });
  }
  return bytes;
}

// NOTE: the innermost layer is bounded by the writer of the file; one above it could be blown up into
// bytes without end that decode to nothing.
async function* bounded(
  layer: Readable,
  { encoding, maxBytes, signal }: { encoding: Encoding; maxBytes: number; signal: AbortSignal },
): AsyncGenerator<Uint8Array> {
  let total = 0;
  try {
    for await (const chunk of layer as AsyncIterable<Uint8Array>) {
      signal.throwIfAborted();
      total += chunk.byteLength;
      if (total > maxBytes) throw tooLarge(maxBytes, 'download');
      yield chunk;
    }
  } catch (error) {
    throw isUndecodable(error) ? undecodable(encoding, error) : error;
  }
}

function decode(packed: Readable, encoding: Encoding, signal: AbortSignal): Readable {
  if (encoding === 'zstd') return unpack(packed, 'zstd', signal);
  if (encoding === 'gzip') return through(packed, createGunzip());
  if (encoding === 'brotli') return through(packed, createBrotliDecompress());
  return Readable.from(inflate(packed), { objectMode: false });
}

/** An error of `packed` reaches the reader by the decoder, which `pipeline` destroys with it. */
function through(packed: Readable | AsyncIterable<Uint8Array>, decoder: Transform): Readable {
  return pipeline(packed, decoder, () => undefined);
}

/** NOTE: `deflate` is the zlib format (RFC 9110), and some servers send bare deflate under the name. */
async function* inflate(packed: Readable): AsyncGenerator<Uint8Array> {
  const chunks = packed[Symbol.asyncIterator]() as AsyncIterableIterator<Uint8Array>;
  let head: Uint8Array = Buffer.alloc(0);
  while (head.byteLength < 2) {
    const { done, value } = await chunks.next();
    if (done) break;
    head = Buffer.concat([head, value]);
  }
  const [first = 0, second = 0] = head;
  const isZlib = (first & 0x0f) === 8 && ((first << 8) | second) % 31 === 0;
  async function* all() {
    yield head;
    yield* chunks;
  }
  yield* through(all(), isZlib ? createInflate() : createInflateRaw());
}

/** NOTE: the codes of zlib begin with `Z_`; those of brotli have no common beginning but this. */
function isUndecodable(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return /^(Z_|ERR__|ERR_BROTLI)/.test(code);
}

function undecodable(encoding: Encoding, cause: unknown): PublishError {
  const message = `the download failed: its Content-Encoding ${encoding} cannot be decoded (${messageOf(cause)})`;
  const hint = 'import it again';
  return new PublishError('DOWNLOAD', message, { step: 'download', retryable: true, cause, hint });
}
