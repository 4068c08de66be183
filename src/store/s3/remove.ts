// Objects of a bucket that go.
import { eachBounded } from '../../core/bounded.ts';
import type { CallOptions } from '../object-info.ts';
import { absent, type S3Requests } from './requests.ts';

const REMOVALS_AT_ONCE = 8;

// NOTE: one request a key: DeleteObjects needs a checksum of its body, and which one a server
// takes (Content-MD5, CRC32C) differs; the SDK offers only the newer one.
export async function removeObjects(
  s3: S3Requests,
  keys: readonly string[],
  { signal }: CallOptions,
): Promise<void> {
  await eachBounded(keys, REMOVALS_AT_ONCE, async (key) => {
    await s3.send({ doing: `removing ${key}`, signal }, (client, abortSignal) =>
      absent(client.deleteObject(s3.at(key), { abortSignal })),
    );
  });
}
