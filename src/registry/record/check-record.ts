// Checks image records: the compiled config/schemas/record.json, and relations between fields. Pure.
import { pathOf, type SchemaError, valueAt } from '../../core/schema-error.ts';
import type { ImageDisk, ImageObject, ImageRecord } from './image.ts';
import { volumeSnapshots } from './image-objects.ts';
import { describe, usage } from './names.ts';
import { OBJECT_FIELDS, pickFields, RECORD_FIELDS } from './pick-fields.ts';
import { withUnknownFields } from './record-format.ts';
import { validate } from './record-validator.js';

/**
 * Returns the record in a value read from a store, or the first problem found. Unknown fields of the
 * record and of its objects are left out.
 */
export function examineRecord(
  value: unknown,
): { record: ImageRecord; problem?: undefined } | { problem: string } {
  const problem = recordProblem(value);
  return problem === undefined ? { record: pickFields(value as ImageRecord) } : { problem };
}

/**
 * Returns the record, which is about to be written, without unknown fields.
 * @throws PublishError USAGE if a reader would refuse it.
 */
export function assertRecord(record: ImageRecord): ImageRecord {
  const problem = recordProblem(record);
  if (problem !== undefined) throw usage(`the image cannot be written: ${problem}`);
  return pickFields(record);
}

/** Returns the record with those fields of `before`, the stored version that it follows, that this program does not know. */
export function keepUnknown(record: ImageRecord, before: unknown): ImageRecord {
  return withUnknownFields(record, before, { record: RECORD_FIELDS, object: OBJECT_FIELDS });
}

function recordProblem(value: unknown): string | undefined {
  if (validate(value)) return relationProblem(value as ImageRecord);
  const [error] = validate.errors ?? [];
  return error === undefined ? 'it is not a valid record' : explain(value, error);
}

/** Names the field and its value: `disks[0].bus is 1, not a string`. */
function explain(record: unknown, error: SchemaError): string {
  const { keyword, params, propertyName } = error;
  const path = pathOf(error);
  const field = path.reduce((text, key) => (text === '' ? key : text + segment(key)), '');
  const value = valueAt(record, path);
  if (propertyName !== undefined) return propertyNameProblem(field, propertyName, keyword);
  if (keyword === 'required') {
    const missing = String(params.missingProperty);
    return `${field === '' ? missing : `${field}.${missing}`} is missing`;
  }
  if (keyword === 'uniqueItems')
    return `${field} has ${describe(valueAt(value, [String(params.i)]))} twice`;
  if (field === '') return 'it is not a JSON object';
  return `${field} is ${describe(value)}${keyword === 'type' ? `, not ${typeName(params)}` : ''}`;
}

function segment(key: string): string {
  if (/^\d+$/.test(key)) return `[${key}]`;
  return /^[a-z0-9_]+$/.test(key) ? `.${key}` : `[${describe(key)}]`;
}

function propertyNameProblem(field: string, name: string, keyword: string): string {
  const why = keyword === 'not' ? 'is the name of a field of the record' : 'is not allowed';
  return `a key of ${field} ${why}: ${describe(name)}`;
}

function typeName({ type }: SchemaError['params']): string {
  const types = [type].flat().map((each) => (each === 'array' ? 'list' : String(each)));
  return types.join(' or ');
}

/** Checks relations between fields, which a schema cannot express. */
function relationProblem(record: ImageRecord): string | undefined {
  const { data, disks } = record;
  return dataProblem(record) ?? (disks === undefined ? undefined : disksProblem(disks, data));
}

/** A reader relies on `data` of an image that is active. */
function dataProblem({ status, data, size, properties }: ImageRecord): string | undefined {
  const hasData = status === 'active' || status === 'deactivated';
  if (hasData && data === null) {
    if (volumeSnapshots({ data, properties }) === undefined)
      return `it is ${status} but has no data`;
    if (size !== 0) return `its data is volume snapshots, but size is ${size}, not 0`;
  }
  if (data !== null && data.size !== size)
    return `size and data.size differ: ${size} and ${data.size}`;
  return undefined;
}

/** The first disk is `data`, and no two disks have the same object or target. */
function disksProblem(disks: readonly ImageDisk[], data: ImageObject | null): string | undefined {
  const [root] = disks;
  if (root?.name !== data?.name || root?.size !== data?.size || root?.sha256 !== data?.sha256)
    return 'disks[0] and data differ';
  for (const key of ['name', 'target'] as const) {
    const seen = new Set<string>();
    const twice = disks.find((disk) => seen.size === seen.add(disk[key]).size);
    if (twice !== undefined) return `two disks have the same ${key}: ${describe(twice[key])}`;
  }
  return undefined;
}
