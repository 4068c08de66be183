// Copies the known fields of a checked record, and no others, however deep those nest. Pure.
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

const FIELDS: Readonly<Record<Exclude<keyof ImageRecord, 'disks'>, true>> = {
  id: true,
  version: true,
  name: true,
  status: true,
  visibility: true,
  protected: true,
  os_hidden: true,
  tags: true,
  owner: true,
  disk_format: true,
  container_format: true,
  size: true,
  virtual_size: true,
  min_disk: true,
  min_ram: true,
  checksum: true,
  os_hash_algo: true,
  os_hash_value: true,
  created_at: true,
  updated_at: true,
  data: true,
  artefacts: true,
  status_reason: true,
  properties: true,
};

/** The fields that every record has; a record of several disks has `disks` too. */
export const RECORD_FIELDS: readonly string[] = Object.keys(FIELDS);

/** Returns a record with the known fields of `value`, which was checked, and of its objects. */
export function pickFields(value: ImageRecord): ImageRecord {
  const record = pick(value, RECORD_FIELDS) as unknown as ImageRecord;
  const { data, disks, artefacts } = value;
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
