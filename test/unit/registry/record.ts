// A whole, valid image record for the unit tests to bend.
import type { ImageRecord } from '#built/registry/record/image.js';

export const ID = '0b6f2f4e-8c55-4a53-9d0f-1c2d3e4f5a6b';

export function activeRecord(changes: Partial<ImageRecord> = {}): ImageRecord {
  return {
    id: ID,
    version: 3,
    name: 'web',
    status: 'active',
    visibility: 'private',
    protected: false,
    os_hidden: false,
    tags: ['nginx'],
    owner: null,
    disk_format: 'qcow2',
    container_format: 'bare',
    size: 10,
    virtual_size: 1024,
    min_disk: 1,
    min_ram: 0,
    checksum: null,
    os_hash_algo: 'sha256',
    os_hash_value: 'a'.repeat(64),
    created_at: '2026-01-02T03:04:05.678Z',
    updated_at: '2026-01-02T03:04:05.678Z',
    data: { name: 'vda.qcow2', size: 10, sha256: 'a'.repeat(64) },
    artefacts: [],
    status_reason: null,
    properties: { os_distro: 'debian' },
    ...changes,
  };
}
