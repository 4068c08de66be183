// What is taken over of a record: the fields that were checked, and nothing else, however deep it nests. Pure.
import type { ImageDisk, ImageObject, ImageRecord } from './image.ts';

export const OBJECT_FIELDS: readonly (keyof ImageDisk)[] = [
  'name',
  'size',
  'sha256',
  'etag',
  'target',
  'boot_index',
  'bus',
  'disk_format',
  'virtual_size',
];

/** `value` is a record whose fields and objects were found right; `fields` has those of a record. */
export function pickFields(value: object, fields: object): ImageRecord {
  const record = pick(value, Object.keys(fields)) as unknown as ImageRecord;
  const { data, disks, artefacts } = value as ImageRecord;
  record.data = data && pickObject(data);
  record.artefacts = artefacts.map(pickObject);
  if (disks !== undefined) record.disks = disks.map(pickObject);
  return record;
}

function pickObject<T extends ImageObject>(object: T): T {
  return pick(object, OBJECT_FIELDS) as T;
}

function pick(value: object, fields: readonly string[]): Record<string, unknown> {
  const given = value as Record<string, unknown>;
  const picked: Record<string, unknown> = {};
  for (const name of fields) if (given[name] !== undefined) picked[name] = given[name];
  return picked;
}
