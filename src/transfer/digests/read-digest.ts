// The size and the sha256 of an object, read back from its store.
import { createHash } from 'node:crypto';
import { interruption } from '../../core/deadline.ts';
import type { CallOptions } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { type RetryPolicy, withRetries } from '../../store/retrying/retry.ts';

export interface ReadDigestOptions extends CallOptions {
  policy: RetryPolicy;
  /** Bytes read so far. */
  onProgress?: ((bytes: number) => void) | undefined;
}

/**
 * Resolves to `undefined` if the object does not exist. A stream that breaks is opened again at that
 * byte. A stream with more bytes than the object's size is read no further.
 * @throws REGISTRY, INTERRUPTED
 */
export async function readDigest(
  store: ObjectStore,
  key: string,
  { policy, signal, onProgress }: ReadDigestOptions,
): Promise<{ size: number; sha256: string } | undefined> {
  const info = await store.stat(key, { signal });
  if (info === undefined) return undefined;
  const hash = createHash('sha256');
  let size = 0;
  const isThere = await withRetries(policy, { signal, step: 'registry' }, async () => {
    // Past its end an object has no range to give.
    if (size >= info.size) return true;
    const stream = await store.openRead(key, { start: size, signal });
    if (stream === undefined) return false;
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      if (signal?.aborted) throw interruption(signal, 'registry');
      hash.update(chunk);
      size += chunk.byteLength;
      onProgress?.(size);
      // It has more bytes than its size, so it may be endless.
      if (size > info.size) break;
    }
    return true;
  });
  return isThere ? { size, sha256: hash.digest('hex') } : undefined;
}
