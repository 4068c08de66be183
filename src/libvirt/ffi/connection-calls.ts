// The calls on a connection, as its worker makes them: synchronous, with the error read at once.
import { checkNull, checkNumber } from './check.ts';
import {
  virConnectGetLibVersion,
  virConnectGetVersion,
  virConnectIsAlive,
  virConnectListAllDomains,
  virDomainDefineXMLFlags,
  virDomainLookupByID,
  virDomainLookupByName,
  virDomainLookupByUUIDString,
} from './ffi.ts';
import type { Handles } from './handles.ts';
import { type Integer, type Out, type Pointer, takePointers } from './native.ts';
import type { ConnectionApi } from './protocol.ts';
import { lookupVolume } from './volume-calls.ts';

export function connectionCalls(handles: Handles): ConnectionApi {
  return {
    open: (uri) => handles.open(uri),
    close: () => handles.close(),
    isAlive: () => checkNumber('virConnectIsAlive', virConnectIsAlive(handles.connection)) === 1,
    getLibVersion: () => {
      const version: Out<Integer> = [0];
      checkNumber('virConnectGetLibVersion', virConnectGetLibVersion(handles.connection, version));
      return Number(version[0]);
    },
    getVersion: () => {
      const version: Out<Integer> = [0];
      checkNumber('virConnectGetVersion', virConnectGetVersion(handles.connection, version));
      return Number(version[0]);
    },
    lookupByName: (name) => {
      const domain = virDomainLookupByName(handles.connection, name);
      return handles.keep(checkNull('virDomainLookupByName', domain));
    },
    lookupByUUIDString: (uuid) => {
      const domain = virDomainLookupByUUIDString(handles.connection, uuid);
      return handles.keep(checkNull('virDomainLookupByUUIDString', domain));
    },
    lookupByID: (id) => {
      const domain = virDomainLookupByID(handles.connection, id);
      return handles.keep(checkNull('virDomainLookupByID', domain));
    },
    listAllDomains: (flags) => {
      const list: Out<Pointer | null> = [null];
      const count = checkNumber(
        'virConnectListAllDomains',
        virConnectListAllDomains(handles.connection, list, flags),
      );
      return takePointers(list[0], count).map((domain) => handles.keep(domain));
    },
    lookupVolume: (pool, volume) => lookupVolume(handles.connection, pool, volume),
    defineXML: (xml, flags) => {
      const domain = virDomainDefineXMLFlags(handles.connection, xml, flags);
      return handles.keep(checkNull('virDomainDefineXMLFlags', domain));
    },
  };
}
