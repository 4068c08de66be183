// The calls on storage pools and volumes, as a connection's worker makes them.
import { checkNull, checkNumber } from './check.ts';
import * as ffi from './ffi.ts';
import type { Handles } from './handles.ts';
import type { Pointer } from './native.ts';
import type { StorageApi, VolumeXml } from './protocol.ts';

/** Handles of pools and volumes are freed at once: a run asks for each of them a few times at most. */
export function storageCalls(handles: Handles): StorageApi {
  const inPool = <T>(name: string, work: (pool: Pointer) => T): T => {
    const pool = ffi.virStoragePoolLookupByName(handles.connection, name);
    return using(checkNull('virStoragePoolLookupByName', pool), ffi.virStoragePoolFree, work);
  };
  const withVolume = <T>(pool: string, name: string, work: (volume: Pointer) => T): T =>
    inPool(pool, (found) => {
      const volume = ffi.virStorageVolLookupByName(found, name);
      return using(checkNull('virStorageVolLookupByName', volume), ffi.virStorageVolFree, work);
    });
  return {
    volumeByPath: (path) => {
      const found = ffi.virStorageVolLookupByPath(handles.connection, path);
      const volume = checkNull('virStorageVolLookupByPath', found);
      return using(volume, ffi.virStorageVolFree, describe);
    },
    volumeByName: (pool, name) => withVolume(pool, name, describe),
    poolByTargetPath: (path) => {
      const found = ffi.virStoragePoolLookupByTargetPath(handles.connection, path);
      const pool = checkNull('virStoragePoolLookupByTargetPath', found);
      return using(pool, ffi.virStoragePoolFree, nameOf);
    },
    refreshPool: (name) =>
      inPool(name, (pool) => {
        checkNumber('virStoragePoolRefresh', ffi.virStoragePoolRefresh(pool, 0));
      }),
    poolIsActive: (name) =>
      inPool(
        name,
        (pool) => checkNumber('virStoragePoolIsActive', ffi.virStoragePoolIsActive(pool)) === 1,
      ),
    networkIsActive: (name) => {
      const found = ffi.virNetworkLookupByName(handles.connection, name);
      const network = checkNull('virNetworkLookupByName', found);
      const call = 'virNetworkIsActive';
      const ask = () => checkNumber(call, ffi.virNetworkIsActive(network)) === 1;
      return using(network, ffi.virNetworkFree, ask);
    },
    createVolume: (name, xml) =>
      inPool(name, (pool) => {
        const volume = ffi.virStorageVolCreateXML(pool, xml, 0);
        ffi.virStorageVolFree(checkNull('virStorageVolCreateXML', volume));
      }),
    deleteVolume: (pool, name) =>
      withVolume(pool, name, (volume) => {
        checkNumber('virStorageVolDelete', ffi.virStorageVolDelete(volume, 0));
      }),
  };
}

function describe(volume: Pointer): VolumeXml {
  const name = checkNull('virStorageVolGetName', ffi.virStorageVolGetName(volume));
  const xml = checkNull('virStorageVolGetXMLDesc', ffi.virStorageVolGetXMLDesc(volume, 0));
  const found = ffi.virStoragePoolLookupByVolume(volume);
  const pool = checkNull('virStoragePoolLookupByVolume', found);
  return using(pool, ffi.virStoragePoolFree, () => ({
    pool: {
      name: nameOf(pool),
      xml: checkNull('virStoragePoolGetXMLDesc', ffi.virStoragePoolGetXMLDesc(pool, 0)),
    },
    ...{ name, xml },
  }));
}

function nameOf(pool: Pointer): string {
  return checkNull('virStoragePoolGetName', ffi.virStoragePoolGetName(pool));
}

function using<T>(
  handle: Pointer,
  free: (handle: Pointer) => number,
  work: (handle: Pointer) => T,
): T {
  try {
    return work(handle);
  } finally {
    free(handle);
  }
}
