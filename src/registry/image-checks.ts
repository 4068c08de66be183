// What a record, a name, a tag, a property or an alias may be: our own input and somebody else's bytes. Pure.
import { PublishError } from '../errors.ts';
import { DISK_FORMATS, VISIBILITIES } from '../snapshot-types.ts';
import { IMAGE_STATUSES, type ImageObject, type ImageRecord } from './image.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const MAX_NAME = 255;
const MAX_VALUE = 65_535;

export function isImageId(text: string): boolean {
  return UUID.test(text);
}

/**
 * The record in a value read from a store. Fields that are not known are left out.
 * @throws REGISTRY that names the record and the first field that is wrong.
 */
export function validateRecord(value: unknown, where: string): ImageRecord {
  const problem = isObject(value) ? recordProblem(value) : 'it is no JSON object';
  if (problem !== undefined) {
    const message = `The image record ${where} cannot be used: ${problem}.`;
    throw new PublishError('REGISTRY', message, { step: 'registry' });
  }
  return pickFields(value as Record<string, unknown>);
}

/** Holds a record that is about to be written against the same rules. @throws USAGE */
export function assertRecord(record: ImageRecord): ImageRecord {
  const problem = recordProblem(record as unknown as Record<string, unknown>);
  if (problem !== undefined) throw usage(`The image cannot be written: ${problem}.`);
  return pickFields(record as unknown as Record<string, unknown>);
}

/**
 * Segments of `A-Z a-z 0-9 . _ -`, joined by `/`, 255 characters at most. No segment begins with a
 * dot or looks like a version (`00000001.json`), which stands beside it in the registry.
 * @throws USAGE
 */
export function assertAlias(alias: string): void {
  if (isAlias(alias)) return;
  throw usage(
    `${JSON.stringify(alias)} cannot be an alias; use letters, digits, ".", "_" and "-", ` +
      'with "/" between, as in web/latest.',
  );
}

/** True for what `assertAlias` lets pass. */
export function isAlias(text: string): boolean {
  return (
    text.length <= MAX_NAME &&
    text
      .split('/')
      .every((part) => /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(part) && !/^\d+\.json$/.test(part))
  );
}

/**
 * The name of an object beside the data (`vda.qcow2`, `domain.xml`): one segment of a key. `record`
 * is taken by the versions of the record.
 * @throws USAGE
 */
export function assertObjectName(name: string): void {
  const problem = objectNameProblem(name);
  if (problem !== undefined) throw usage(`${problem}.`);
}

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === 'string' && !hasControl(value);
const isName: Check = (value) => isText(value) && (value as string).length <= MAX_NAME;
const isFlag: Check = (value) => typeof value === 'boolean';
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const isTime: Check = (value) =>
  typeof value === 'string' &&
  /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value) &&
  !Number.isNaN(Date.parse(value));
const isHex: Check = (value) => typeof value === 'string' && /^[0-9a-f]{32,128}$/.test(value);
const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const oneOf =
  (list: readonly string[]): Check =>
  (value) =>
    typeof value === 'string' && list.includes(value);

const FIELDS: Readonly<Record<keyof ImageRecord, Check>> = {
  id: (value) => typeof value === 'string' && isImageId(value),
  version: (value) => isCount(value) && (value as number) >= 1,
  name: (value) => isName(value) && value !== '',
  status: oneOf(IMAGE_STATUSES),
  visibility: oneOf(VISIBILITIES),
  protected: isFlag,
  os_hidden: isFlag,
  tags: Array.isArray,
  owner: orNull(isName),
  disk_format: oneOf(DISK_FORMATS),
  container_format: oneOf(['bare']),
  size: orNull(isCount),
  virtual_size: orNull(isCount),
  min_disk: isCount,
  min_ram: isCount,
  checksum: orNull(isHex),
  os_hash_algo: orNull(oneOf(['md5', 'sha256', 'sha512'])),
  os_hash_value: orNull(isHex),
  created_at: isTime,
  updated_at: isTime,
  data: orNull(isObject),
  artefacts: Array.isArray,
  status_reason: orNull((value) => typeof value === 'string'),
  properties: isObject,
};

function recordProblem(record: Record<string, unknown>): string | undefined {
  for (const [field, check] of Object.entries(FIELDS)) {
    if (!(field in record)) return `${field} is missing`;
    if (!check(record[field])) return `${field} is ${describe(record[field])}`;
  }
  const { status, data, size, artefacts, tags, properties } = record as unknown as ImageRecord;
  const objects = data === null ? artefacts : [data, ...artefacts];
  return (
    tagsProblem(tags) ??
    propertiesProblem(properties) ??
    firstProblem(objects, imageObjectProblem) ??
    dataProblem(status, data, size)
  );
}

/** Other fields depend on the status: a reader takes `data` of an active image for granted. */
function dataProblem(
  status: ImageRecord['status'],
  data: ImageObject | null,
  size: number | null,
): string | undefined {
  const hasData = status === 'active' || status === 'deactivated';
  if (hasData && data === null) return `it is ${status} but has no data`;
  if (data !== null && data.size !== size) return 'size and data.size differ';
  return undefined;
}

function tagsProblem(tags: readonly unknown[]): string | undefined {
  const bad = tags.find((tag) => !isName(tag) || tag === '');
  if (bad !== undefined) return `the tag ${describe(bad)} is not 1 to ${MAX_NAME} characters`;
  const twice = tags.find((tag, index) => tags.indexOf(tag) !== index);
  return twice === undefined ? undefined : `the tag ${describe(twice)} is there twice`;
}

function propertiesProblem(properties: Readonly<Record<string, unknown>>): string | undefined {
  return firstProblem(Object.entries(properties), ([key, value]) => {
    if (key === '' || !isName(key))
      return `the property ${describe(key)} is no 1 to 255 characters`;
    if (Object.hasOwn(FIELDS, key))
      return `the property ${describe(key)} has the name of a field of the record`;
    if (typeof value === 'string' && value.length <= MAX_VALUE) return undefined;
    return `the property ${describe(key)} is no text of ${MAX_VALUE} characters at most`;
  });
}

function imageObjectProblem(object: unknown): string | undefined {
  if (!isObject(object)) return 'an object of the image is no JSON object';
  const { name, size, sha256 } = object;
  if (typeof name !== 'string') return 'an object of the image has no name';
  if (!isCount(size)) return `the size of ${describe(name)} is ${describe(size)}`;
  if (!(typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256))) {
    return `the sha256 of ${describe(name)} is ${describe(sha256)}`;
  }
  return objectNameProblem(name);
}

// NOTE: a record is somebody else's bytes, and its object names become keys and, in a directory,
// paths: no name may lead anywhere but to a file beside the others.
function objectNameProblem(name: string): string | undefined {
  if (/^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$/.test(name) && name !== 'record') return undefined;
  return `${describe(name)} cannot be the name of an object of an image`;
}

function firstProblem<T>(
  items: readonly T[],
  problem: (item: T) => string | undefined,
): string | undefined {
  for (const item of items) {
    const found = problem(item);
    if (found !== undefined) return found;
  }
  return undefined;
}

function pickFields(value: Record<string, unknown>): ImageRecord {
  const names = Object.keys(FIELDS);
  return Object.fromEntries(names.map((name) => [name, value[name]])) as unknown as ImageRecord;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function hasControl(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  return /[\u0000-\u001f\u007f]/.test(text);
}

/** A value in a message: short, and on one line whatever it holds. */
function describe(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function usage(message: string): PublishError {
  return new PublishError('USAGE', message, { step: 'registry' });
}
