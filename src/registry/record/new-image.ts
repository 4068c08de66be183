// The first version of an image's record. Pure, except the id and the time.
import { randomUUID } from 'node:crypto';
import type { NewImage } from '../registry-types.ts';
import { assertRecord } from './check-record.ts';
import type { ImageRecord } from './image.ts';

/** Returns the record; missing fields get Glance's defaults. @throws USAGE */
export function newRecord(fields: NewImage): ImageRecord {
  const now = new Date().toISOString();
  return assertRecord({
    id: randomUUID(),
    visibility: 'private',
    protected: false,
    os_hidden: false,
    tags: [],
    owner: null,
    virtual_size: null,
    min_disk: 0,
    min_ram: 0,
    properties: {},
    ...fields,
    version: 1,
    status: 'queued',
    container_format: 'bare',
    size: null,
    checksum: null,
    os_hash_algo: null,
    os_hash_value: null,
    created_at: now,
    updated_at: now,
    data: null,
    artefacts: [],
    status_reason: null,
  });
}
