// From a registry's URL to its store.
import { fileURLToPath } from 'node:url';
import { PublishError } from '../errors.ts';
import { DirectoryStore } from './directory-store.ts';
import type { ObjectStore } from './object-store.ts';
import type { S3Options } from './s3-access.ts';

export interface OpenStoreOptions {
  s3?: S3Options | undefined;
  requestMs: number;
  partMs: number;
}

/**
 * Opens `s3://bucket[/prefix]`, `file:///directory` or a directory's path. No request is made; the
 * AWS SDK is loaded for a bucket only.
 * @throws USAGE where the URL is none of these, CONFIG where an S3 option cannot be used.
 */
export async function openStore(url: string, options: OpenStoreOptions): Promise<ObjectStore> {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url)?.[1]?.toLowerCase();
  if (scheme === undefined && url !== '') return new DirectoryStore(url);
  if (scheme === 'file') return new DirectoryStore(filePath(url));
  if (scheme !== 's3') throw urlError(url);
  const { bucket, prefix } = parseBucketUrl(url);
  const { openS3Store } = await import('./s3-store.ts');
  const { requestMs, partMs, s3 } = options;
  return openS3Store({ ...s3, bucket, prefix, requestMs, partMs });
}

/** Bucket and prefix (no slash at its ends) of `s3://bucket/prefix`. @throws USAGE */
export function parseBucketUrl(url: string): { bucket: string; prefix: string } {
  const [, bucket = '', path = ''] = /^s3:\/\/([^/]*)(.*)$/i.exec(url) ?? [];
  const prefix = path.replace(/^\/+|\/+$/g, '');
  const good = /^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/.test(bucket) && isPrefix(prefix);
  if (!good) throw urlError(url);
  return { bucket, prefix };
}

function isPrefix(prefix: string): boolean {
  if (prefix === '') return true;
  return /^[\w!.*'()@=+ -][\w!.*'()@=+ /-]*$/.test(prefix) && !/(^|\/)(\.{0,2})(\/|$)/.test(prefix);
}

function filePath(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw urlError(url, error);
  }
}

// The URL itself is not repeated where it may hold a password (user:secret@host).
function urlError(url: string, cause?: unknown): PublishError {
  const shown = url.includes('@') ? 'The registry URL' : `The registry ${JSON.stringify(url)}`;
  const message = `${shown} cannot be used; give s3://bucket/prefix, file:///directory or a path.`;
  return new PublishError('USAGE', message, { step: 'registry', ...(cause ? { cause } : {}) });
}
