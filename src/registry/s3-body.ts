// The body of an answer as a stream that ends: on silence, on the caller's signal, with our errors.
import { PassThrough, type Readable } from 'node:stream';
import type { PublishError } from '../errors.ts';
import { interruption } from './deadline.ts';

const BUFFER_BYTES = 1024 * 1024;

interface SocketTimeout {
  setTimeout(ms: number, callback: () => void): unknown;
}

export interface WatchOptions {
  signal: AbortSignal | undefined;
  idleMs: number;
  explain: (error: unknown) => PublishError;
}

/** Ends a body that has gone silent or is no longer wanted, and gives its errors the shape of ours. */
export function watchBody(
  body: Readable & Partial<SocketTimeout>,
  options: WatchOptions,
): Readable {
  const { signal, idleMs, explain } = options;
  const out = new PassThrough({ highWaterMark: BUFFER_BYTES });
  const onAbort = () => out.destroy(interruption(signal, 'registry'));
  const onSilence = () =>
    out.destroy(explain(Object.assign(new Error(), { name: 'TimeoutError' })));
  body.setTimeout?.(idleMs, onSilence);
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted) onAbort();
  body.once('error', (error) => out.destroy(explain(error)));
  out.once('close', () => {
    signal?.removeEventListener('abort', onAbort);
    body.destroy();
  });
  return body.pipe(out);
}
