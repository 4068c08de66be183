// Backing files that a header names with a protocol although they are files of this host. Pure.
import { shellQuote } from '../../core/shell-quote.ts';

/** Drivers of a plain file or block device. */
const PLAIN = ['file', 'host_device'];

export interface NamedFile {
  path: string;
  /** The driver that reads it, if the name has one. */
  format: string | undefined;
}

/**
 * Returns the file of `file:/path`, `host_device:/path` or a `json:` name with only such a file;
 * `undefined` for all other names.
 */
export function namedFile(name: string): NamedFile | undefined {
  const [, plain] = /^(?:file|host_device):(\/.*)$/s.exec(name) ?? [];
  if (plain !== undefined) return { path: plain, format: undefined };
  if (!name.startsWith('json:')) return undefined;
  const options = new Map(flatten(parse(name.slice('json:'.length))));
  const driver = options.get('driver');
  const format = typeof driver === 'string' && !PLAIN.includes(driver) ? driver : undefined;
  const at = options.has('file.filename') ? 'file.' : '';
  const [path, reader] = [options.get(`${at}filename`), options.get(`${at}driver`) ?? 'file'];
  // Any other option may change the bytes that are read.
  const known = ['driver', `${at}filename`, `${at}driver`];
  const isAlone = [...options.keys()].every((key) => known.includes(key));
  const isPlain = PLAIN.includes(String(reader)) && isAlone;
  return isPlain && typeof path === 'string' && path.startsWith('/') ? { path, format } : undefined;
}

/** Returns the command that records the file by its path; no process may have the overlay open. */
export function rebaseCommand(
  overlay: string,
  { path, format }: NamedFile,
  recorded: string | null,
): string {
  const words = ['qemu-img', 'rebase', '-u', '-b', path, '-F', recorded ?? format ?? 'FORMAT'];
  return [...words, overlay].map(shellQuote).join(' ');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Flattens `{"file": {"driver": "file"}}` to `file.driver`, the other form in headers. */
function flatten(value: unknown, before = ''): [string, unknown][] {
  if (typeof value !== 'object' || value === null) return [[before, value]];
  return Object.entries(value).flatMap(([key, below]) =>
    flatten(below, before === '' ? key : `${before}.${key}`),
  );
}
