// The body of an answer as a stream that ends on silence and on the caller's signal, with a PublishError.
import { Readable } from 'node:stream';
import { interruption } from '../../core/deadline.ts';
import { PublishError } from '../../core/errors.ts';

const BUFFER_BYTES = 1024 * 1024;
/** Equals an upload's deadline for a part: some 50 KiB/s with the default of 5 minutes. */
const LEAST_BYTES = 16 * 1024 * 1024;

interface SocketTimeout {
  setTimeout(ms: number, callback?: () => void): unknown;
}

export interface WatchOptions {
  signal: AbortSignal | undefined;
  idleMs: number;
  /** Each `slowMs` in which the reader does not pause must bring LEAST_BYTES. */
  slowMs: number;
  explain: (error: unknown) => PublishError;
}

/** Returns the body as a stream that ends if it goes silent, trickles or is cancelled, with a PublishError. */
export function watchBody(
  body: Readable & Partial<SocketTimeout>,
  options: WatchOptions,
): Readable {
  const { signal, idleMs, slowMs, explain } = options;
  const out = new Readable({ highWaterMark: BUFFER_BYTES, read: () => body.resume() });
  const onAbort = () => out.destroy(interruption(signal, 'registry'));
  const onSilence = () =>
    out.destroy(explain(Object.assign(new Error(), { name: 'TimeoutError' })));
  // NOTE: a reader that pauses silences the connection too (a pipe into a pager). Node reports a
  // silence once, so it is set again; what counts is a server that is waited for.
  body.setTimeout?.(idleMs, () => {
    if (body.isPaused()) body.setTimeout?.(idleMs);
    else onSilence();
  });
  // NOTE: a server that sends single bytes is never silent, so the rate is checked too.
  const pace = { bytes: 0, isHeld: false };
  const timer = setInterval(() => {
    if (pace.bytes < LEAST_BYTES && !pace.isHeld) onSilence();
    Object.assign(pace, { bytes: 0, isHeld: body.isPaused() });
  }, slowMs).unref();
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted) onAbort();
  // A reader gets the error from the stream; without a reader it must not end the process.
  out.on('error', () => undefined);
  body.once('error', (error) => out.destroy(explain(error)));
  out.once('close', () => {
    clearInterval(timer);
    signal?.removeEventListener('abort', onAbort);
    body.destroy();
  });
  // NOTE: no PassThrough: its writable side would double the cost of each of many chunks.
  body.on('data', (chunk: Uint8Array) => {
    pace.bytes += chunk.byteLength;
    if (out.push(chunk)) return;
    pace.isHeld = true;
    body.pause();
  });
  body.once('end', () => {
    clearInterval(timer);
    out.push(null);
  });
  return out;
}

/** Reads a small body completely. `what` names it in the error. @throws INTEGRITY beyond `maxBytes` */
export async function readSmallBody(
  body: Readable,
  maxBytes: number,
  what: string,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength;
    // Leaving the loop destroys the stream, and the connection with it.
    if (size > maxBytes) throw tooLarge(maxBytes, what);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function tooLarge(maxBytes: number, what: string): PublishError {
  const message = `${what} has more than the ${maxBytes} bytes that such an object can have`;
  return new PublishError('INTEGRITY', message, { step: 'registry' });
}
