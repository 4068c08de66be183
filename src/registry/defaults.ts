// The defaults of uploads and requests, for callers that bring no configuration.
import { readConfigAsset } from '../config/schema.ts';
import type { UploadPolicy } from '../transfer/upload/upload-types.ts';
import type { CacheReserve } from './catalog/cache-files.ts';

/** What config/default.json says; read when a registry is opened, never written down twice. */
export function readDefaults(): {
  upload: UploadPolicy;
  requestMs: number;
  reserve: CacheReserve;
} {
  const { upload, timeouts, reserve } = readConfigAsset('default.json') as {
    upload: Omit<UploadPolicy, 'partMs'>;
    timeouts: { partMs: number; requestMs: number };
    reserve: CacheReserve;
  };
  const { partMs, requestMs } = timeouts;
  return { upload: { ...upload, partMs }, requestMs, reserve };
}
