// Opens the store of a registry's URL.
import { DirectoryStore } from './directory/directory-store.ts';
import type { PlaceOptions } from './directory/place.ts';
import type { ObjectStore } from './object-store.ts';
import { parseRegistryUrl } from './registry-url.ts';
import type { S3Options } from './s3/aws-settings.ts';

export interface OpenStoreOptions extends PlaceOptions {
  s3?: S3Options | undefined;
  requestMs: number;
  partMs: number;
}

/**
 * Opens `s3://bucket[/prefix]`, `file:///directory` or a directory's path. No request is made; the
 * AWS SDK is loaded for a bucket only.
 * @throws USAGE if the URL is none of these, CONFIG if an S3 option cannot be used.
 */
export async function openStore(url: string, options: OpenStoreOptions): Promise<ObjectStore> {
  const place = parseRegistryUrl(url);
  const { requestMs, partMs, s3, makeParents, mode } = options;
  switch (place.kind) {
    case 'directory':
      return new DirectoryStore(place.path, { makeParents, mode });
    case 'bucket': {
      const { openS3Store } = await import('./s3/s3-store.ts');
      const { bucket, prefix } = place;
      return openS3Store({ ...s3, bucket, prefix, requestMs, partMs });
    }
  }
}
