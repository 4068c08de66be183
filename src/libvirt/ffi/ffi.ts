// The C functions of libvirt that this package calls, typed; each is synchronous and blocks its thread.
// More than 200 lines: one signature after the other, a list with nothing to follow.
import { c, type Integer, type Out, type Pointer, qemu } from './native.ts';

/** virTypedParameterType ULLONG. */
export const VIR_TYPED_PARAM_ULLONG = 4;

export interface TypedParameter {
  field: string;
  type: typeof VIR_TYPED_PARAM_ULLONG;
  value: number;
}

export interface BlockJobInfoStruct {
  type: number;
  bandwidth: Integer;
  cur: Integer;
  end: Integer;
}

export interface BlockInfoStruct {
  capacity: Integer;
  allocation: Integer;
  physical: Integer;
}

export interface JobInfoStruct {
  type: number;
  timeElapsed: Integer;
  dataTotal: Integer;
  dataProcessed: Integer;
  dataRemaining: Integer;
}

export interface StorageVolInfoStruct {
  type: number;
  capacity: Integer;
  allocation: Integer;
}

// All of these return -1 or NULL where they fail, with the reason in this thread's last error.
export const virConnectOpen: (uri: string) => Pointer | null = c(
  'void *virConnectOpen(const char *name)',
);
export const virConnectClose: (conn: Pointer) => number = c('int virConnectClose(void *conn)');
export const virConnectGetLibVersion: (conn: Pointer, version: Out<Integer>) => number = c(
  'int virConnectGetLibVersion(void *conn, _Out_ unsigned long *libVer)',
);
export const virConnectGetVersion: (conn: Pointer, version: Out<Integer>) => number = c(
  'int virConnectGetVersion(void *conn, _Out_ unsigned long *hvVer)',
);
export const virDomainLookupByName: (conn: Pointer, name: string) => Pointer | null = c(
  'void *virDomainLookupByName(void *conn, const char *name)',
);
export const virDomainLookupByUUIDString: (conn: Pointer, uuid: string) => Pointer | null = c(
  'void *virDomainLookupByUUIDString(void *conn, const char *uuid)',
);
export const virDomainLookupByID: (conn: Pointer, id: number) => Pointer | null = c(
  'void *virDomainLookupByID(void *conn, int id)',
);
export const virConnectListAllDomains: (
  conn: Pointer,
  domains: Out<Pointer | null>,
  flags: number,
) => number = c(
  'int virConnectListAllDomains(void *conn, _Out_ void **domains, unsigned int flags)',
);
export const virDomainDefineXMLFlags: (
  conn: Pointer,
  xml: string,
  flags: number,
) => Pointer | null = c(
  'void *virDomainDefineXMLFlags(void *conn, const char *xml, unsigned int flags)',
);
export const virConnectIsAlive: (conn: Pointer) => number = c('int virConnectIsAlive(void *conn)');
export const virDomainFree: (dom: Pointer) => number = c('int virDomainFree(void *dom)');
export const virDomainGetName: (dom: Pointer) => string | null = c(
  'const char *virDomainGetName(void *dom)',
);
export const virDomainGetUUIDString: (dom: Pointer, buffer: Uint8Array) => number = c(
  'int virDomainGetUUIDString(void *dom, _Out_ uint8_t *buf)',
);
export const virDomainGetXMLDesc: (dom: Pointer, flags: number) => string | null = c(
  'str! virDomainGetXMLDesc(void *dom, unsigned int flags)',
);
export const virDomainGetID: (dom: Pointer) => number = c('unsigned int virDomainGetID(void *dom)');
export const virDomainIsPersistent: (dom: Pointer) => number = c(
  'int virDomainIsPersistent(void *dom)',
);
export const virDomainIsActive: (dom: Pointer) => number = c('int virDomainIsActive(void *dom)');
export const virDomainGetState: (
  dom: Pointer,
  state: Out<number>,
  reason: Out<number>,
  flags: number,
) => number = c(
  'int virDomainGetState(void *dom, _Out_ int *state, _Out_ int *reason, unsigned int flags)',
);
export const virDomainGetAutostart: (dom: Pointer, autostart: Out<number>) => number = c(
  'int virDomainGetAutostart(void *dom, _Out_ int *autostart)',
);
export const virDomainSetAutostart: (dom: Pointer, autostart: number) => number = c(
  'int virDomainSetAutostart(void *dom, int autostart)',
);
export const virDomainUndefineFlags: (dom: Pointer, flags: number) => number = c(
  'int virDomainUndefineFlags(void *dom, unsigned int flags)',
);
export const virDomainBlockRebase: (
  dom: Pointer,
  disk: string,
  base: string,
  bandwidth: number,
  flags: number,
) => number = c(
  'int virDomainBlockRebase(void *dom, const char *disk, const char *base, unsigned long bandwidth, unsigned int flags)',
);
export const virDomainBlockCommit: (
  dom: Pointer,
  disk: string,
  base: string | null,
  top: string | null,
  bandwidth: number,
  flags: number,
) => number = c(
  'int virDomainBlockCommit(void *dom, const char *disk, const char *base, const char *top, unsigned long bandwidth, unsigned int flags)',
);
export const virDomainBlockPull: (
  dom: Pointer,
  disk: string,
  bandwidth: number,
  flags: number,
) => number = c(
  'int virDomainBlockPull(void *dom, const char *disk, unsigned long bandwidth, unsigned int flags)',
);
export const virDomainBlockCopy: (
  dom: Pointer,
  disk: string,
  destXml: string,
  params: TypedParameter[] | null,
  count: number,
  flags: number,
) => number = c(
  'int virDomainBlockCopy(void *dom, const char *disk, const char *destxml, virTypedParameter *params, int nparams, unsigned int flags)',
);
export const virDomainGetBlockJobInfo: (
  dom: Pointer,
  disk: string,
  info: Partial<BlockJobInfoStruct>,
  flags: number,
) => number = c(
  'int virDomainGetBlockJobInfo(void *dom, const char *disk, _Out_ virDomainBlockJobInfo *info, unsigned int flags)',
);
export const virDomainBlockJobAbort: (dom: Pointer, disk: string, flags: number) => number = c(
  'int virDomainBlockJobAbort(void *dom, const char *disk, unsigned int flags)',
);
export const virDomainGetBlockInfo: (
  dom: Pointer,
  disk: string,
  info: Partial<BlockInfoStruct>,
  flags: number,
) => number = c(
  'int virDomainGetBlockInfo(void *dom, const char *disk, _Out_ virDomainBlockInfo *info, unsigned int flags)',
);
export const virDomainGetDiskErrors: (
  dom: Pointer,
  errors: Uint8Array | null,
  max: number,
  flags: number,
) => number = c(
  'int virDomainGetDiskErrors(void *dom, _Out_ uint8_t *errors, unsigned int maxerrors, unsigned int flags)',
);
export const virDomainFSFreeze: (
  dom: Pointer,
  mountpoints: string[] | null,
  count: number,
  flags: number,
) => number = c(
  'int virDomainFSFreeze(void *dom, const char **mountpoints, unsigned int n, unsigned int flags)',
);
export const virDomainFSThaw: (
  dom: Pointer,
  mountpoints: string[] | null,
  count: number,
  flags: number,
) => number = c(
  'int virDomainFSThaw(void *dom, const char **mountpoints, unsigned int n, unsigned int flags)',
);
export const virDomainAgentSetResponseTimeout: (
  dom: Pointer,
  seconds: number,
  flags: number,
) => number = c('int virDomainAgentSetResponseTimeout(void *dom, int timeout, unsigned int flags)');
export const virDomainManagedSave: (dom: Pointer, flags: number) => number = c(
  'int virDomainManagedSave(void *dom, unsigned int flags)',
);
export const virDomainHasManagedSaveImage: (dom: Pointer, flags: number) => number = c(
  'int virDomainHasManagedSaveImage(void *dom, unsigned int flags)',
);
export const virDomainManagedSaveGetXMLDesc: (dom: Pointer, flags: number) => string | null = c(
  'str! virDomainManagedSaveGetXMLDesc(void *dom, unsigned int flags)',
);
export const virDomainManagedSaveRemove: (dom: Pointer, flags: number) => number = c(
  'int virDomainManagedSaveRemove(void *dom, unsigned int flags)',
);
export const virDomainCreateWithFlags: (dom: Pointer, flags: number) => number = c(
  'int virDomainCreateWithFlags(void *dom, unsigned int flags)',
);
export const virDomainSuspend: (dom: Pointer) => number = c('int virDomainSuspend(void *dom)');
export const virDomainResume: (dom: Pointer) => number = c('int virDomainResume(void *dom)');
export const virDomainDestroy: (dom: Pointer) => number = c('int virDomainDestroy(void *dom)');
export const virDomainSetTime: (
  dom: Pointer,
  seconds: number,
  nseconds: number,
  flags: number,
) => number = c(
  'int virDomainSetTime(void *dom, long long seconds, unsigned int nseconds, unsigned int flags)',
);
export const virDomainGetTime: (
  dom: Pointer,
  seconds: Out<Integer>,
  nseconds: Out<number>,
  flags: number,
) => number = c(
  'int virDomainGetTime(void *dom, _Out_ long long *seconds, _Out_ unsigned int *nseconds, unsigned int flags)',
);
export const virDomainGetJobInfo: (dom: Pointer, info: Partial<JobInfoStruct>) => number = c(
  'int virDomainGetJobInfo(void *dom, _Out_ virDomainJobInfo *info)',
);
export const virDomainGetJobStats: (
  dom: Pointer,
  type: Out<number>,
  params: Out<Pointer | null>,
  count: Out<number>,
  flags: number,
) => number = c(
  'int virDomainGetJobStats(void *dom, _Out_ int *type, _Out_ void **params, _Out_ int *nparams, unsigned int flags)',
);
export const virDomainGetGuestInfo: (
  dom: Pointer,
  types: number,
  params: Out<Pointer | null>,
  count: Out<number>,
  flags: number,
) => number = c(
  'int virDomainGetGuestInfo(void *dom, unsigned int types, _Out_ void **params, _Out_ int *nparams, unsigned int flags)',
);
export const virDomainAbortJob: (dom: Pointer) => number = c('int virDomainAbortJob(void *dom)');
export const virDomainAttachDeviceFlags: (dom: Pointer, xml: string, flags: number) => number = c(
  'int virDomainAttachDeviceFlags(void *dom, const char *xml, unsigned int flags)',
);
export const virDomainDetachDeviceFlags: (dom: Pointer, xml: string, flags: number) => number = c(
  'int virDomainDetachDeviceFlags(void *dom, const char *xml, unsigned int flags)',
);
export const virDomainListAllSnapshots: (
  dom: Pointer,
  snapshots: Out<Pointer | null>,
  flags: number,
) => number = c('int virDomainListAllSnapshots(void *dom, _Out_ void **snaps, unsigned int flags)');
export const virDomainSnapshotGetName: (snapshot: Pointer) => string | null = c(
  'const char *virDomainSnapshotGetName(void *snapshot)',
);
export const virDomainSnapshotGetXMLDesc: (snapshot: Pointer, flags: number) => string | null = c(
  'str! virDomainSnapshotGetXMLDesc(void *snapshot, unsigned int flags)',
);
export const virDomainSnapshotIsCurrent: (snapshot: Pointer, flags: number) => number = c(
  'int virDomainSnapshotIsCurrent(void *snapshot, unsigned int flags)',
);
export const virDomainSnapshotCreateXML: (
  dom: Pointer,
  xml: string,
  flags: number,
) => Pointer | null = c(
  'void *virDomainSnapshotCreateXML(void *dom, const char *xml, unsigned int flags)',
);
export const virDomainSnapshotLookupByName: (
  dom: Pointer,
  name: string,
  flags: number,
) => Pointer | null = c(
  'void *virDomainSnapshotLookupByName(void *dom, const char *name, unsigned int flags)',
);
export const virDomainSnapshotDelete: (snapshot: Pointer, flags: number) => number = c(
  'int virDomainSnapshotDelete(void *snapshot, unsigned int flags)',
);
export const virDomainSnapshotFree: (snapshot: Pointer) => number = c(
  'int virDomainSnapshotFree(void *snapshot)',
);
export const virDomainListAllCheckpoints: (
  dom: Pointer,
  checkpoints: Out<Pointer | null>,
  flags: number,
) => number = c(
  'int virDomainListAllCheckpoints(void *dom, _Out_ void **checkpoints, unsigned int flags)',
);
export const virDomainCheckpointGetName: (checkpoint: Pointer) => string | null = c(
  'const char *virDomainCheckpointGetName(void *checkpoint)',
);
export const virDomainCheckpointGetXMLDesc: (checkpoint: Pointer, flags: number) => string | null =
  c('str! virDomainCheckpointGetXMLDesc(void *checkpoint, unsigned int flags)');
export const virDomainCheckpointCreateXML: (
  dom: Pointer,
  xml: string,
  flags: number,
) => Pointer | null = c(
  'void *virDomainCheckpointCreateXML(void *dom, const char *xml, unsigned int flags)',
);
export const virDomainCheckpointFree: (checkpoint: Pointer) => number = c(
  'int virDomainCheckpointFree(void *checkpoint)',
);

export const virStoragePoolLookupByName: (conn: Pointer, name: string) => Pointer | null = c(
  'void *virStoragePoolLookupByName(void *conn, const char *name)',
);
export const virStoragePoolIsActive: (pool: Pointer) => number = c(
  'int virStoragePoolIsActive(void *pool)',
);
export const virNetworkLookupByName: (conn: Pointer, name: string) => Pointer | null = c(
  'void *virNetworkLookupByName(void *conn, const char *name)',
);
export const virNetworkIsActive: (network: Pointer) => number = c(
  'int virNetworkIsActive(void *network)',
);
export const virNetworkFree: (network: Pointer) => number = c('int virNetworkFree(void *network)');
export const virStoragePoolFree: (pool: Pointer) => number = c(
  'int virStoragePoolFree(void *pool)',
);
export const virStorageVolLookupByName: (pool: Pointer, name: string) => Pointer | null = c(
  'void *virStorageVolLookupByName(void *pool, const char *name)',
);
export const virStorageVolGetPath: (volume: Pointer) => string | null = c(
  'str! virStorageVolGetPath(void *vol)',
);
export const virStorageVolGetInfo: (
  volume: Pointer,
  info: Partial<StorageVolInfoStruct>,
) => number = c('int virStorageVolGetInfo(void *vol, _Out_ virStorageVolInfo *info)');
/** Since libvirt 4.1. */
export const virStoragePoolLookupByTargetPath: (conn: Pointer, path: string) => Pointer | null = c(
  'void *virStoragePoolLookupByTargetPath(void *conn, const char *path)',
);
export const virStoragePoolLookupByVolume: (volume: Pointer) => Pointer | null = c(
  'void *virStoragePoolLookupByVolume(void *vol)',
);
export const virStoragePoolGetName: (pool: Pointer) => string | null = c(
  'const char *virStoragePoolGetName(void *pool)',
);
export const virStoragePoolGetXMLDesc: (pool: Pointer, flags: number) => string | null = c(
  'str! virStoragePoolGetXMLDesc(void *pool, unsigned int flags)',
);
export const virStoragePoolRefresh: (pool: Pointer, flags: number) => number = c(
  'int virStoragePoolRefresh(void *pool, unsigned int flags)',
);
export const virStorageVolLookupByPath: (conn: Pointer, path: string) => Pointer | null = c(
  'void *virStorageVolLookupByPath(void *conn, const char *path)',
);
export const virStorageVolGetName: (volume: Pointer) => string | null = c(
  'const char *virStorageVolGetName(void *vol)',
);
export const virStorageVolGetXMLDesc: (volume: Pointer, flags: number) => string | null = c(
  'str! virStorageVolGetXMLDesc(void *vol, unsigned int flags)',
);
export const virStorageVolCreateXML: (pool: Pointer, xml: string, flags: number) => Pointer | null =
  c('void *virStorageVolCreateXML(void *pool, const char *xml, unsigned int flags)');
export const virStorageVolDelete: (volume: Pointer, flags: number) => number = c(
  'int virStorageVolDelete(void *vol, unsigned int flags)',
);
export const virStorageVolFree: (volume: Pointer) => number = c('int virStorageVolFree(void *vol)');

/** The last error of this very thread. */
export const virGetLastErrorCode: () => number = c('int virGetLastErrorCode()');
export const virGetLastErrorDomain: () => number = c('int virGetLastErrorDomain()');
export const virGetLastErrorMessage: () => string = c('const char *virGetLastErrorMessage()');
export const virResetLastError: () => void = c('void virResetLastError()');

type QemuAgentCommand = (
  dom: Pointer,
  command: string,
  timeoutS: number,
  flags: number,
) => string | null;
let agentCommand: QemuAgentCommand | undefined;

/** The one function that libvirt-qemu.so.0 is loaded for. */
export const virDomainQemuAgentCommand: QemuAgentCommand = (...args) => {
  agentCommand ??= qemu(
    'str! virDomainQemuAgentCommand(void *dom, const char *cmd, int timeout, unsigned int flags)',
  );
  return agentCommand(...args);
};
