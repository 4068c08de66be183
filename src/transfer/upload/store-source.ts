// An object of a store as the source of an upload.
import { PublishError } from '../../core/errors.ts';
import type { ImageSource } from '../../host/io/image-source.ts';
import { drainStream } from '../../store/drain-stream.ts';
import type { ObjectStore } from '../../store/object-store.ts';

/** `size` is what the object must have; a range that ends early fails the upload. */
export function storeSource(
  store: ObjectStore,
  key: string,
  size: number,
  signal: AbortSignal | undefined,
): ImageSource {
  const read = async (memory: Uint8Array, start: number, end: number): Promise<number> => {
    const stream = await store.openRead(key, { start, end, signal });
    if (stream === undefined) {
      const message = `${key} is missing in ${store.url}`;
      throw new PublishError('INTEGRITY', message, { step: 'upload', hint: VERIFY_HINT });
    }
    let length = 0;
    await drainStream(stream, (chunk) => {
      if (length + chunk.byteLength > end - start) throw tooMuch(store, key);
      memory.set(chunk, length);
      length += chunk.byteLength;
    });
    return length;
  };
  return { size, reader: () => ({ read, close: async () => undefined }) };
}

const VERIFY_HINT = 'check the image: virt-publish verify IMAGE';

function tooMuch({ url }: ObjectStore, key: string): PublishError {
  const message = `${url} sent more of ${key} than was requested`;
  return new PublishError('INTEGRITY', message, { step: 'upload', hint: VERIFY_HINT });
}
