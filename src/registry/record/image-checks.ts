// What a record may hold, whether this program or another client wrote it. Pure.
import { DISK_FORMATS, VISIBILITIES } from '../../core/model.ts';
import { IMAGE_STATUSES, type ImageDisk, type ImageObject, type ImageRecord } from './image.ts';
import { volumeSnapshots } from './image-objects.ts';
import { describe, isImageId, MAX_NAME, objectNameProblem, usage } from './names.ts';
import { OBJECT_FIELDS, pickFields } from './pick-fields.ts';
import { withUnknownFields } from './record-format.ts';

const MAX_VALUE = 65_535;

/**
 * The record in a value read from a store, or the first thing that is wrong with it. Fields that are
 * not known are left out, of the record and of its objects.
 */
export function examineRecord(
  value: unknown,
): { record: ImageRecord; problem?: undefined } | { problem: string } {
  if (!isObject(value)) return { problem: 'it is no JSON object' };
  const problem = recordProblem(value);
  return problem === undefined ? { record: pickFields(value, FIELDS) } : { problem };
}

/** Holds a record that is about to be written against the same rules. @throws USAGE */
export function assertRecord(record: ImageRecord): ImageRecord {
  const problem = recordProblem(record as unknown as Record<string, unknown>);
  if (problem !== undefined) throw usage(`the record cannot be written: ${problem}`);
  return pickFields(record, FIELDS);
}

/** The record with what `before`, the stored version that it follows, has and this program does not know. */
export function keepUnknown(record: ImageRecord, before: unknown): ImageRecord {
  return withUnknownFields(record, before, { record: Object.keys(FIELDS), object: OBJECT_FIELDS });
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

/** Of a single disk, as of every image before there were several, a record has no list. */
const FIELDS: Readonly<Record<Exclude<keyof ImageRecord, 'disks'>, Check>> = {
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

const CHECKS = Object.entries(FIELDS);

function recordProblem(record: Record<string, unknown>): string | undefined {
  for (const [field, check] of CHECKS) {
    if (!(field in record)) return `${field} is missing`;
    if (!check(record[field])) return `${field} is ${describe(record[field])}`;
  }
  const { data, disks, artefacts, tags, properties } = record as unknown as ImageRecord;
  if (disks !== undefined && !Array.isArray(disks)) return `disks is ${describe(disks)}`;
  const objects = [...(data === null ? [] : [data]), ...(disks ?? []), ...artefacts];
  return (
    tagsProblem(tags) ??
    propertiesProblem(properties) ??
    firstProblem(objects, imageObjectProblem) ??
    dataProblem(record as unknown as ImageRecord) ??
    (disks === undefined ? undefined : disksProblem(disks, data))
  );
}

/** Other fields depend on the status: a reader takes `data` of an active image for granted. */
function dataProblem({ status, data, size, properties }: ImageRecord): string | undefined {
  const hasData = status === 'active' || status === 'deactivated';
  if (hasData && data === null) {
    if (volumeSnapshots({ data, properties }) === undefined)
      return `it is ${status} but has no data`;
    if (size !== 0) return 'its data are volume snapshots, but its size is not 0';
  }
  if (data !== null && data.size !== size) return 'size and data.size differ';
  return undefined;
}

/** Each disk as `data` is, with what tells it from the others. */
function disksProblem(disks: readonly ImageDisk[], data: ImageObject | null): string | undefined {
  const [root] = disks;
  if (root === undefined) return 'disks is empty';
  if (root.name !== data?.name || root.size !== data.size || root.sha256 !== data.sha256) {
    return 'the first of disks and data differ';
  }
  for (const key of ['name', 'target'] as const) {
    if (new Set(disks.map((disk) => disk[key])).size < disks.length)
      return `two disks have the same ${key}`;
  }
  return firstProblem(disks, (disk) => {
    const wrong = DISK_CHECKS.find(([key, check]) => !check(disk[key]));
    return wrong && `${wrong[0]} of disk ${describe(disk.name)} is ${describe(disk[wrong[0]])}`;
  });
}

const DISK_CHECKS: readonly [keyof ImageDisk, Check][] = [
  // It becomes the name of a file.
  ['target', (value) => typeof value === 'string' && objectNameProblem(value) === undefined],
  ['boot_index', orNull(isCount)],
  ['bus', isName],
  ['disk_format', oneOf(DISK_FORMATS)],
  ['virtual_size', isCount],
];

function tagsProblem(tags: readonly unknown[]): string | undefined {
  const bad = tags.find((tag) => !isName(tag) || tag === '');
  if (bad !== undefined) return `the tag ${describe(bad)} is not 1 to ${MAX_NAME} characters`;
  const seen = new Set<unknown>();
  const twice = tags.find((tag) => seen.size === seen.add(tag).size);
  return twice === undefined ? undefined : `the tag ${describe(twice)} occurs twice`;
}

function propertiesProblem(properties: Readonly<Record<string, unknown>>): string | undefined {
  return firstProblem(Object.entries(properties), ([key, value]) => {
    // `__proto__` is a key that some readers of JSON take for the object's own prototype.
    if (key === '' || key === '__proto__' || !isName(key))
      return `the property ${describe(key)} is no 1 to 255 characters`;
    if (Object.hasOwn(FIELDS, key))
      return `the property ${describe(key)} has the name of a field of the record`;
    if (typeof value === 'string' && value.length <= MAX_VALUE) return undefined;
    return `the property ${describe(key)} is no text of ${MAX_VALUE} characters at most`;
  });
}

function imageObjectProblem(object: unknown): string | undefined {
  if (!isObject(object)) return 'an object of the image is no JSON object';
  const { name, size, sha256, etag } = object;
  if (typeof name !== 'string') return 'an object of the image has no name';
  if (!isCount(size)) return `the size of ${describe(name)} is ${describe(size)}`;
  if (!(typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256))) {
    return `the sha256 of ${describe(name)} is ${describe(sha256)}`;
  }
  if (etag !== undefined && !isName(etag)) return `the ETag of ${describe(name)} is no text`;
  return objectNameProblem(name);
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

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function hasControl(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  return /[\u0000-\u001f\u007f]/.test(text);
}
