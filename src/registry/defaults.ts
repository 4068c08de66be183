// The defaults of uploads and requests, for callers that bring no configuration.
import { readConfigAsset } from '../config/schema.ts';
import type { UploadPolicy } from '../transfer/upload/upload-types.ts';

/** Returns what config/default.json has; it is read when a registry is opened. */
export function readDefaults(): { upload: UploadPolicy; requestMs: number } {
  const { upload, timeouts } = readConfigAsset('default.json') as {
    upload: Omit<UploadPolicy, 'partMs'>;
    timeouts: { partMs: number; requestMs: number };
  };
  const { partMs, requestMs } = timeouts;
  return { upload: { ...upload, partMs }, requestMs };
}
