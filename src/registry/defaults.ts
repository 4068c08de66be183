// The defaults of uploads and requests, for callers that bring no configuration.
import { readConfigAsset } from '../config/schema.ts';
import type { UploadPolicy } from '../upload/upload-image.ts';

/** What config/default.json says; read when a registry is opened, never written down twice. */
export function readDefaults(): { upload: UploadPolicy; requestMs: number } {
  const { upload, timeouts } = readConfigAsset('default.json') as {
    upload: Omit<UploadPolicy, 'partMs'>;
    timeouts: { partMs: number; requestMs: number };
  };
  return { upload: { ...upload, partMs: timeouts.partMs }, requestMs: timeouts.requestMs };
}
