// The format of records and aliases: which one is written, which ones are read, and what of a later writer is kept. Pure.
import type { ImageRecord } from './image.ts';

/** Raised when older programs must not read what is written; a field more is no reason. */
export const FORMAT_VERSION = 1;

/** Unknown fields that nest deeper are not kept: JSON.stringify fails on some thousand levels. */
const MAX_DEPTH = 32;

/** Returns why this program must not read the value, or undefined. A missing format is the first one. */
export function formatProblem(value: unknown): { problem: string; isNewer: boolean } | undefined {
  const { format_version: format = 1 } = (value ?? {}) as { format_version?: unknown };
  if (!Number.isSafeInteger(format) || (format as number) < 1)
    return { problem: `format_version is ${JSON.stringify(format)?.slice(0, 40)}`, isNewer: false };
  if ((format as number) <= FORMAT_VERSION) return undefined;
  const problem = `it has format ${format}, and this program reads formats up to ${FORMAT_VERSION}`;
  return { problem, isNewer: true };
}

/**
 * Returns `next` with the unknown fields of `before`, a record as it was stored. It keeps those of
 * the record and of each object that is unchanged.
 */
export function withUnknownFields(
  next: ImageRecord,
  before: unknown,
  known: { record: readonly string[]; object: readonly string[] },
): ImageRecord {
  const stored = before as Record<string, unknown>;
  const ownFields = [...known.record, ...OWN_FIELDS];
  const objects = objectsOf(stored);
  const keep = <T extends { name: string; sha256: string }>(object: T): T => {
    const same = objects.find(
      ({ name, sha256 }) => name === object.name && sha256 === object.sha256,
    );
    return same === undefined ? object : { ...unknownFields(same, known.object), ...object };
  };
  return {
    ...unknownFields(stored, ownFields),
    ...next,
    data: next.data && keep(next.data),
    ...(next.disks === undefined ? {} : { disks: next.disks.map(keep) }),
    artefacts: next.artefacts.map(keep),
  };
}

/** The fields that differ in each version of a record. */
const OWN_FIELDS = ['disks', 'write_id', 'format_version'];

function objectsOf({ data, disks, artefacts }: Record<string, unknown>): Record<string, unknown>[] {
  const lists = [disks ?? [], data === null ? [] : [data], artefacts] as Record<
    string,
    unknown
  >[][];
  return lists.flat();
}

function unknownFields(
  value: Record<string, unknown>,
  known: readonly string[],
): Record<string, unknown> {
  const entries = Object.entries(value).filter(
    ([key, field]) => !known.includes(key) && isShallow(field, MAX_DEPTH),
  );
  return Object.fromEntries(entries);
}

function isShallow(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return depth > 0 && Object.values(value).every((each) => isShallow(each, depth - 1));
}
