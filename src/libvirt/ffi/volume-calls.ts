// The calls on storage pools and volumes, as a connection's worker makes them.
import { checkNull, checkNumber } from './check.ts';
import * as ffi from './ffi.ts';
import type { Pointer } from './native.ts';
import type { VolumePlace } from './protocol.ts';

/** virStorageVolType, by number. */
const TYPES = ['file', 'block'] as const;

/** @throws LibvirtError where there is no such pool or volume, or the pool is not started. */
export function lookupVolume(connection: Pointer, pool: string, volume: string): VolumePlace {
  return withPool(connection, pool, (pointer) => {
    const found = ffi.virStorageVolLookupByName(pointer, volume);
    const handle = checkNull('virStorageVolLookupByName', found);
    try {
      const info: Partial<ffi.StorageVolInfoStruct> = {};
      checkNumber('virStorageVolGetInfo', ffi.virStorageVolGetInfo(handle, info));
      const path = checkNull('virStorageVolGetPath', ffi.virStorageVolGetPath(handle));
      return { type: TYPES[info.type ?? -1] ?? 'other', path };
    } finally {
      ffi.virStorageVolFree(handle);
    }
  });
}

function withPool<T>(connection: Pointer, name: string, work: (pool: Pointer) => T): T {
  const found = ffi.virStoragePoolLookupByName(connection, name);
  const pool = checkNull('virStoragePoolLookupByName', found);
  try {
    return work(pool);
  } finally {
    ffi.virStoragePoolFree(pool);
  }
}
