// The keys below a directory in the order a bucket would list them.
import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { orMissing } from '../../host/files/file-errors.ts';
import { UPLOADS_FOLDER } from './files.ts';

/**
 * Yields each file below the root whose key starts with `prefix` and comes after `startAfter`, in
 * the order of the keys' UTF-8 bytes. Reads no folder that has none of them.
 */
export async function* walkKeys(
  root: string,
  prefix: string,
  startAfter = '',
): AsyncGenerator<string> {
  const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
  yield* walkFolder(root, folder, { prefix, startAfter });
}

/** Entries of a folder (a key that ends in `/`, or empty), folders with `/`, in byte order. */
export async function sortedEntries(root: string, folder: string): Promise<string[]> {
  const entries = await orMissing(readdir(join(root, folder), { withFileTypes: true }));
  return (entries ?? []).filter(isRegistryEntry).map(entryName).sort(byBytes);
}

export function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

async function* walkFolder(
  root: string,
  folder: string,
  range: { prefix: string; startAfter: string },
): AsyncGenerator<string> {
  const { prefix, startAfter } = range;
  for (const name of await sortedEntries(root, folder)) {
    const key = folder + name;
    if (!key.startsWith(prefix) && !prefix.startsWith(key)) continue;
    const isFolder = key.endsWith('/');
    const isBefore = byBytes(key, startAfter) <= 0;
    if (isFolder && (!isBefore || startAfter.startsWith(key))) yield* walkFolder(root, key, range);
    if (!isFolder && !isBefore && key.startsWith(prefix)) yield key;
  }
}

function isRegistryEntry(entry: Dirent): boolean {
  return (entry.isFile() || entry.isDirectory()) && entry.name !== UPLOADS_FOLDER;
}

function entryName(entry: Dirent): string {
  return entry.isDirectory() ? `${entry.name}/` : entry.name;
}
