// Parses the URL of a registry; the error of an invalid one has a hint with a valid one. Pure.
import { fileURLToPath } from 'node:url';
import { PublishError } from '../core/errors.ts';

/** Where a registry lives; `prefix` has no slash at its ends, and is empty for the bucket itself. */
export type RegistryPlace =
  | { kind: 'bucket'; bucket: string; prefix: string }
  | { kind: 'directory'; path: string };

const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/;
const BUCKET_RULE =
  'the name of a bucket has 2 to 255 letters, digits, ".", "_" and "-", and begins with a letter or digit';
const PREFIX = /^[\w!.*'()@=+ -][\w!.*'()@=+ /-]*$/;
const PREFIX_RULE =
  'a prefix has letters a to z, digits, spaces and _ ! . * \' ( ) @ = + - between single slashes, and no part that is "." or ".."';

/**
 * Reads `s3://bucket[/prefix]`, `file:///directory` or the path of a directory. Whatever else looks
 * like a URL is refused: a path that begins so would be a new folder in the current one.
 * @throws USAGE with a hint that has a valid URL
 */
export function parseRegistryUrl(url: string): RegistryPlace {
  if (url === '') throw urlError(url, 'it is empty; write s3://bucket/prefix or a directory');
  if (/^s3:\/\//i.test(url)) return parseBucketUrl(url);
  if (/^file:\/\//i.test(url)) return { kind: 'directory', path: filePath(url) };
  if (url.startsWith('~'))
    throw urlError(url, `no shell replaced the ~; write the whole path, or ./${url}`);
  if (/^[^/]*:/.test(url)) throw urlError(url, schemeHint(url));
  return { kind: 'directory', path: url };
}

/** Bucket and prefix of an `s3://` URL. @throws USAGE that names the rule that it breaks */
function parseBucketUrl(url: string): RegistryPlace & { kind: 'bucket' } {
  const [, bucket = '', path = ''] = /^s3:\/\/([^/]*)(.*)$/is.exec(url) ?? [];
  const prefix = path.replace(/^\/+|\/+$/g, '');
  if (!BUCKET.test(bucket)) throw urlError(url, BUCKET_RULE);
  if (prefix !== '' && !(PREFIX.test(prefix) && !/(^|\/)(\.{0,2})(\/|$)/.test(prefix)))
    throw urlError(url, PREFIX_RULE);
  return { kind: 'bucket', bucket, prefix };
}

function filePath(url: string): string {
  const { search, hash } = new URL(url);
  if (search !== '' || hash !== '')
    throw urlError(url, 'write %3F for a ? and %23 for a # of the path, or the path itself');
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw urlError(url, 'write file:///directory, or the path itself', error);
  }
}

function schemeHint(url: string): string {
  const [, scheme = '', rest = ''] = /^([^/]*?):\/*(.*)$/s.exec(url) ?? [];
  const name = scheme.trim().toLowerCase();
  const path = `write ./${url} for a directory of that name`;
  if (name === 's3') return `write s3://${rest}`;
  if (name === 'file') return `write file:///${rest}`;
  if (/^https?$/.test(name)) return 'write s3://bucket/prefix, and the server as --endpoint';
  return `only s3:// and file:// are known; write s3://bucket/prefix for a bucket, or ${path}`;
}

// NOTE: a URL that may hold a password (user:secret@host) is not repeated, not even in the hint.
function urlError(url: string, advice: string, cause?: unknown): PublishError {
  const isSecret = url.includes('@');
  const shown = isSecret ? 'the registry URL' : `the registry ${JSON.stringify(url)}`;
  const usual = 'write s3://bucket/prefix, file:///directory or a path';
  const hint = isSecret && advice.includes('@') && advice !== PREFIX_RULE ? usual : advice;
  const options = { step: 'registry', hint, ...(cause ? { cause } : {}) } as const;
  return new PublishError('USAGE', `${shown} cannot be used`, options);
}
