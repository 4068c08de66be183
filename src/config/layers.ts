// Configuration from files, and how one layer is laid over another.
import { readFile } from 'node:fs/promises';
import { messageOf, PublishError } from '../core/errors.ts';

/** Settings from one place; `source` is its name in messages. */
export interface ConfigLayer {
  source: string;
  values: unknown;
}

/**
 * Returns null if an optional file is missing.
 * @throws PublishError CONFIG if the file cannot be read or is not JSON
 */
export async function readLayer(path: string, optional: boolean): Promise<ConfigLayer | null> {
  try {
    return { source: path, values: JSON.parse(await readFile(path, 'utf8')) as unknown };
  } catch (cause) {
    if (optional && isAbsent(cause)) return null;
    const message = `${path}: the configuration cannot be read: ${messageOf(cause)}`;
    const hint = 'correct the file; it must be JSON that this user may read';
    throw new PublishError('CONFIG', message, { step: 'config', cause, hint });
  }
}

/** Lays `upper` over `lower`, key by key; lists and single values are replaced as a whole. */
export function overlay(lower: unknown, upper: unknown): unknown {
  if (upper === undefined) return lower;
  if (!isGroup(lower) || !isGroup(upper)) return upper;
  const merged: Record<string, unknown> = { ...lower };
  for (const [key, value] of Object.entries(upper)) merged[key] = overlay(merged[key], value);
  return merged;
}

function isGroup(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isAbsent(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ENOENT' || code === 'ENOTDIR';
}
