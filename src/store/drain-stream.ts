// Reads a stream to its end by its events, without a copy of what it gives.
import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';

/**
 * Gives every chunk to `take`, and waits for the promise that it returns, if any.
 * @throws what the stream or `take` fails with; the stream is destroyed then.
 *
 * NOTE: it uses events. An iterated stream joins all its chunks into a new one, which copies each
 * byte into memory that was never touched.
 */
export async function drainStream(
  stream: Readable,
  take: (chunk: Uint8Array) => Promise<void> | undefined,
): Promise<void> {
  let taking: Promise<void> | undefined;
  const fail = (error: Error) => stream.destroy(error);
  stream.on('data', (chunk: Uint8Array) => {
    try {
      taking = take(chunk);
      if (taking === undefined) return;
      stream.pause();
      taking.then(() => stream.resume(), fail);
    } catch (error) {
      fail(error as Error);
    }
  });
  try {
    await finished(stream);
  } finally {
    await taking;
  }
}
