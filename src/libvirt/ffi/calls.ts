// Every libvirt call of this package, declared once: its C function, its result, and how long it may take.
// More than 200 lines: one row a call, a table with nothing to follow.
import { existsSync } from 'node:fs';
import { type DomainStatus, readStatus, statusPath } from '../status-xml.ts';
import type { CSession } from './c-session.ts';
import {
  DISK_ERRORS,
  DOMAIN_STATES,
  VIR_DOMAIN_BLOCK_COPY_BANDWIDTH,
  VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES,
  VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL,
  VIR_DOMAIN_CHECKPOINT_XML_SECURE,
  VIR_DOMAIN_GUEST_INFO_OS,
  VIR_DOMAIN_JOB_NONE,
  VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL,
  VIR_DOMAIN_SNAPSHOT_XML_SECURE,
} from './constants.ts';
import {
  type AfterHandle,
  type Checked,
  type Integer,
  type Out,
  type Pointer,
  type Prototype,
  type Struct,
  VIR_TYPED_PARAM_ULLONG,
} from './prototype.ts';
import type {
  BlockInfo,
  BlockJobInfo,
  DiskError,
  DomainRef,
  DomainState,
  JobInfo,
  NamedXml,
  SnapshotXml,
  VolumePlace,
  VolumeXml,
} from './results.ts';

/**
 * How long a call may take. `short`: libvirtd answers it at once. `storage`: it returns when a guest's
 * memory or a storage is written, read or flushed. `agent`: the domain's agent limit ends it, and that
 * limit may be longer than the limit of a short call.
 */
type Limit = 'short' | 'storage' | 'agent';

interface Call<Args extends unknown[], Result> {
  limit: Limit;
  /** Runs in the worker. @throws CallFailure with libvirt's error */
  run: (session: CSession, ...args: Args) => Result;
}

/** A C function of the connection: its arguments without the connection, its result converted. */
function onConnection<const P extends Prototype, Result>(
  prototype: P,
  convert: (value: Checked<P>, session: CSession) => Result,
): Call<AfterHandle<P>, Result> {
  const run = (session: CSession, ...args: AfterHandle<P>) =>
    convert(callWith(session, prototype, session.connection, args), session);
  return { limit: 'short', run };
}

/** A C function of a domain; its first argument is the domain's UUID. */
function onDomain<const P extends Prototype, Result>(
  prototype: P,
  convert: (value: Checked<P>) => Result,
  limit: Limit = 'short',
): Call<[uuid: string, ...AfterHandle<P>], Result> {
  const run = (session: CSession, uuid: string, ...args: AfterHandle<P>) =>
    convert(callWith(session, prototype, session.domain(uuid), args));
  return { limit, run };
}

/** A call of several C functions, or of one with output parameters. */
function composed<Args extends unknown[], Result>(
  run: (session: CSession, ...args: Args) => Result,
  limit: Limit = 'short',
): Call<Args, Result> {
  return { limit, run };
}

function callWith<P extends Prototype>(
  session: CSession,
  prototype: P,
  handle: Pointer,
  args: AfterHandle<P>,
): Checked<P> {
  // The handle and what comes after it are the parameters of the prototype.
  const call = session.call as (prototype: P, ...args: unknown[]) => Checked<P>;
  return call.call(session, prototype, handle, ...args);
}

/** Makes a call in the worker. @throws CallFailure with libvirt's error */
export function makeCall<M extends Method>(
  session: CSession,
  method: M,
  args: readonly unknown[],
): Result<M> {
  // A request pairs each method with its arguments.
  const run = CALLS[method].run as (session: CSession, ...args: readonly unknown[]) => Result<M>;
  return run(session, ...args);
}

const nothing = (): void => undefined;
const asIs = <T>(value: T): T => value;
const isOne = (value: number): boolean => value === 1;
const kept = (domain: Pointer, session: CSession): DomainRef => session.keep(domain);

/** Flags come last, with the values of `constants.ts`; 0 for a C function that has none yet. */
export const CALLS = {
  // The connection.
  open: composed((session, uri: string) => session.open(uri)),
  close: composed((session) => session.close()),
  isAlive: onConnection('int virConnectIsAlive(void *conn)', isOne),
  getLibVersion: composed((session) => {
    const version: Out<Integer> = [0];
    const prototype = 'int virConnectGetLibVersion(void *conn, _Out_ unsigned long *libVer)';
    session.call(prototype, session.connection, version);
    return Number(version[0]);
  }),
  getVersion: composed((session) => {
    const version: Out<Integer> = [0];
    const prototype = 'int virConnectGetVersion(void *conn, _Out_ unsigned long *hvVer)';
    session.call(prototype, session.connection, version);
    return Number(version[0]);
  }),
  lookupByName: onConnection('void *virDomainLookupByName(void *conn, const char *name)', kept),
  lookupByUUIDString: onConnection(
    'void *virDomainLookupByUUIDString(void *conn, const char *uuid)',
    kept,
  ),
  lookupByID: onConnection('void *virDomainLookupByID(void *conn, int id)', kept),
  listAllDomains: composed((session, flags: number): DomainRef[] => {
    const prototype =
      'int virConnectListAllDomains(void *conn, _Out_ void **domains, unsigned int flags)';
    const list: Out<Pointer | null> = [null];
    const count = session.call(prototype, session.connection, list, flags);
    return session.take.pointers(list[0], count).map((domain) => session.keep(domain));
  }),
  defineXML: onConnection(
    'void *virDomainDefineXMLFlags(void *conn, const char *xml, unsigned int flags)',
    kept,
  ),

  // Storage pools, volumes and networks, by name or path.
  lookupVolume: composed(
    (session, pool: string, name: string): VolumePlace =>
      withVolume(session, pool, name, (volume) => {
        const info: Struct<'virStorageVolInfo'> = {};
        session.call(
          'int virStorageVolGetInfo(void *vol, _Out_ virStorageVolInfo *info)',
          volume,
          info,
        );
        const path = session.call('str! virStorageVolGetPath(void *vol)', volume);
        return { type: VOLUME_TYPES[Number(info.type ?? -1)] ?? 'other', path };
      }),
  ),
  volumeByPath: composed((session, path: string): VolumeXml => {
    const prototype = 'void *virStorageVolLookupByPath(void *conn, const char *path)';
    const volume = session.call(prototype, session.connection, path);
    return session.using(volume, FREE_VOLUME, (found) => describeVolume(session, found));
  }),
  volumeByName: composed(
    (session, pool: string, name: string): VolumeXml =>
      withVolume(session, pool, name, (volume) => describeVolume(session, volume)),
  ),
  /** Returns the name of the pool with this directory, or with this volume group below /dev. */
  poolByTargetPath: composed((session, path: string): string => {
    const prototype = 'void *virStoragePoolLookupByTargetPath(void *conn, const char *path)';
    const pool = session.call(prototype, session.connection, path);
    return session.using(pool, FREE_POOL, (found) => poolName(session, found));
  }),
  refreshPool: composed((session, name: string): void => {
    withPool(session, name, (pool) =>
      session.call('int virStoragePoolRefresh(void *pool, unsigned int flags)', pool, 0),
    );
  }, 'storage'),
  poolIsActive: composed((session, name: string): boolean =>
    withPool(session, name, (pool) =>
      isOne(session.call('int virStoragePoolIsActive(void *pool)', pool)),
    ),
  ),
  networkIsActive: composed((session, name: string): boolean => {
    const prototype = 'void *virNetworkLookupByName(void *conn, const char *name)';
    const network = session.call(prototype, session.connection, name);
    return session.using(network, 'int virNetworkFree(void *network)', (found) =>
      isOne(session.call('int virNetworkIsActive(void *network)', found)),
    );
  }),
  createVolume: composed((session, pool: string, xml: string): void => {
    const prototype =
      'void *virStorageVolCreateXML(void *pool, const char *xml, unsigned int flags)';
    withPool(session, pool, (found) =>
      session.free(FREE_VOLUME, session.call(prototype, found, xml, 0)),
    );
  }, 'storage'),
  deleteVolume: composed((session, pool: string, name: string): void => {
    withVolume(session, pool, name, (volume) =>
      session.call('int virStorageVolDelete(void *vol, unsigned int flags)', volume, 0),
    );
  }, 'storage'),

  // A domain: definition and state.
  getXMLDesc: onDomain('str! virDomainGetXMLDesc(void *dom, unsigned int flags)', asIs),
  /** NOTE: the C library keeps the id of the time of the lookup, so the domain is looked up again. */
  getID: composed((session, uuid: string): number | null => {
    const prototype = 'unsigned int virDomainGetID(void *dom)';
    const id = session.call(prototype, session.lookupDomain(uuid));
    return id === NO_ID ? null : id;
  }),
  isPersistent: onDomain('int virDomainIsPersistent(void *dom)', isOne),
  isActive: onDomain('int virDomainIsActive(void *dom)', isOne),
  getState: composed((session, uuid: string): { state: DomainState; reason: number } => {
    const prototype =
      'int virDomainGetState(void *dom, _Out_ int *state, _Out_ int *reason, unsigned int flags)';
    const [state, reason]: [Out<number>, Out<number>] = [[0], [0]];
    session.call(prototype, session.domain(uuid), state, reason, 0);
    return { state: DOMAIN_STATES[state[0]] ?? 'nostate', reason: reason[0] };
  }),
  getAutostart: composed((session, uuid: string): boolean => {
    const prototype = 'int virDomainGetAutostart(void *dom, _Out_ int *autostart)';
    const on: Out<number> = [0];
    session.call(prototype, session.domain(uuid), on);
    return on[0] !== 0;
  }),
  setAutostart: onDomain('int virDomainSetAutostart(void *dom, int autostart)', nothing),
  undefineFlags: onDomain('int virDomainUndefineFlags(void *dom, unsigned int flags)', nothing),
  createWithFlags: onDomain(
    'int virDomainCreateWithFlags(void *dom, unsigned int flags)',
    nothing,
    'storage',
  ),
  suspend: onDomain('int virDomainSuspend(void *dom)', nothing),
  resume: onDomain('int virDomainResume(void *dom)', nothing),
  attachDeviceFlags: onDomain(
    'int virDomainAttachDeviceFlags(void *dom, const char *xml, unsigned int flags)',
    nothing,
  ),
  detachDeviceFlags: onDomain(
    'int virDomainDetachDeviceFlags(void *dom, const char *xml, unsigned int flags)',
    nothing,
  ),
  /** Undefined if the status file cannot be read. */
  status: composed((session, uuid: string): DomainStatus | undefined =>
    readStatus(session.uri, { name: domainName(session, uuid), uuid }),
  ),
  seesDaemon: composed((session, uuid: string): boolean =>
    existsSync(statusPath(session.uri, domainName(session, uuid))),
  ),

  // A domain: managed save.
  managedSave: onDomain(
    'int virDomainManagedSave(void *dom, unsigned int flags)',
    nothing,
    'storage',
  ),
  hasManagedSaveImage: onDomain(
    'int virDomainHasManagedSaveImage(void *dom, unsigned int flags)',
    isOne,
  ),
  managedSaveGetXMLDesc: onDomain(
    'str! virDomainManagedSaveGetXMLDesc(void *dom, unsigned int flags)',
    asIs,
  ),
  getJobInfo: composed((session, uuid: string): JobInfo => {
    const info: Struct<'virDomainJobInfo'> = {};
    const prototype = 'int virDomainGetJobInfo(void *dom, _Out_ virDomainJobInfo *info)';
    session.call(prototype, session.domain(uuid), info);
    return {
      type: Number(info.type),
      dataTotal: Number(info.dataTotal),
      dataProcessed: Number(info.dataProcessed),
      dataRemaining: Number(info.dataRemaining),
      timeElapsedMs: Number(info.timeElapsed),
    };
  }),
  /** virDomainJobOperation of the domain's job; null without a job, or if libvirt does not report it. */
  getJobOperation: composed((session, uuid: string): number | null => {
    const prototype =
      'int virDomainGetJobStats(void *dom, _Out_ int *type, _Out_ void **params, _Out_ int *nparams, unsigned int flags)';
    const [type, count]: [Out<number>, Out<number>] = [[0], [0]];
    const params: Out<Pointer | null> = [null];
    session.call(prototype, session.domain(uuid), type, params, count, 0);
    const operation = session.take.typedNumbers(params[0], count[0]).get('operation');
    return type[0] === VIR_DOMAIN_JOB_NONE ? null : (operation ?? null);
  }),
  abortJob: onDomain('int virDomainAbortJob(void *dom)', nothing),

  // A domain: snapshots and checkpoints.
  listSnapshots: composed((session, uuid: string): SnapshotXml[] => {
    const prototype =
      'int virDomainListAllSnapshots(void *dom, _Out_ void **snaps, unsigned int flags)';
    const list: Out<Pointer | null> = [null];
    const flags = VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL;
    const count = session.call(prototype, session.domain(uuid), list, flags);
    const snapshots = session.take.pointers(list[0], count);
    try {
      return snapshots.map((snapshot) => describeSnapshot(session, snapshot));
    } finally {
      for (const snapshot of snapshots) session.free(FREE_SNAPSHOT, snapshot);
    }
  }),
  listCheckpoints: composed((session, uuid: string): NamedXml[] => {
    const prototype =
      'int virDomainListAllCheckpoints(void *dom, _Out_ void **checkpoints, unsigned int flags)';
    const list: Out<Pointer | null> = [null];
    const flags = VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL;
    const count = session.call(prototype, session.domain(uuid), list, flags);
    const checkpoints = session.take.pointers(list[0], count);
    try {
      return checkpoints.map((checkpoint) => describeCheckpoint(session, checkpoint));
    } finally {
      for (const checkpoint of checkpoints) session.free(FREE_CHECKPOINT, checkpoint);
    }
  }),
  snapshotCreateXML: composed((session, uuid: string, xml: string, flags: number): void => {
    const prototype =
      'void *virDomainSnapshotCreateXML(void *dom, const char *xml, unsigned int flags)';
    session.free(FREE_SNAPSHOT, session.call(prototype, session.domain(uuid), xml, flags));
  }, 'storage'),
  snapshotDelete: composed((session, uuid: string, name: string, flags: number): void => {
    const lookup =
      'void *virDomainSnapshotLookupByName(void *dom, const char *name, unsigned int flags)';
    const found = session.call(lookup, session.domain(uuid), name, 0);
    session.using(found, FREE_SNAPSHOT, (snapshot) =>
      session.call(
        'int virDomainSnapshotDelete(void *snapshot, unsigned int flags)',
        snapshot,
        flags,
      ),
    );
  }, 'storage'),
  checkpointCreateXML: composed((session, uuid: string, xml: string, flags: number): void => {
    const prototype =
      'void *virDomainCheckpointCreateXML(void *dom, const char *xml, unsigned int flags)';
    session.free(FREE_CHECKPOINT, session.call(prototype, session.domain(uuid), xml, flags));
  }),

  // A domain: its disks and block jobs. Bandwidths are in MiB/s, 0 without a limit.
  blockRebase: onDomain(
    'int virDomainBlockRebase(void *dom, const char *disk, const char *base, unsigned long bandwidth, unsigned int flags)',
    nothing,
  ),
  blockCommit: onDomain(
    'int virDomainBlockCommit(void *dom, const char *disk, const char *baseOrNull, const char *topOrNull, unsigned long bandwidth, unsigned int flags)',
    nothing,
  ),
  blockPull: onDomain(
    'int virDomainBlockPull(void *dom, const char *disk, unsigned long bandwidth, unsigned int flags)',
    nothing,
  ),
  blockCopy: composed(
    (
      session,
      uuid: string,
      disk: string,
      destXml: string,
      { bandwidthBytes }: { bandwidthBytes?: number },
      flags: number,
    ): void => {
      const prototype =
        'int virDomainBlockCopy(void *dom, const char *disk, const char *destxml, virTypedParameter *params, int nparams, unsigned int flags)';
      const params =
        bandwidthBytes === undefined
          ? []
          : [
              {
                field: VIR_DOMAIN_BLOCK_COPY_BANDWIDTH,
                type: VIR_TYPED_PARAM_ULLONG,
                value: bandwidthBytes,
              } as const,
            ];
      const list = params.length === 0 ? null : params;
      session.call(prototype, session.domain(uuid), disk, destXml, list, params.length, flags);
    },
  ),
  /**
   * NOTE: cur and end do not show when a mirror is ready: libvirt reports 0 of 1 for a job that has
   * not started, and holds cur one below end until it is. `<mirror ready='yes'>` in the live XML does.
   */
  blockJobInfo: composed((session, uuid: string, disk: string): BlockJobInfo | undefined => {
    const prototype =
      'int virDomainGetBlockJobInfo(void *dom, const char *disk, _Out_ virDomainBlockJobInfo *info, unsigned int flags)';
    const info: Struct<'virDomainBlockJobInfo'> = {};
    const flags = VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES;
    if (session.call(prototype, session.domain(uuid), disk, info, flags) === 0) return undefined;
    return {
      type: Number(info.type),
      bandwidth: Number(info.bandwidth),
      cur: Number(info.cur),
      end: Number(info.end),
    };
  }),
  blockJobAbort: onDomain(
    'int virDomainBlockJobAbort(void *dom, const char *disk, unsigned int flags)',
    nothing,
    'storage',
  ),
  getBlockInfo: composed((session, uuid: string, disk: string): BlockInfo => {
    const prototype =
      'int virDomainGetBlockInfo(void *dom, const char *disk, _Out_ virDomainBlockInfo *info, unsigned int flags)';
    const info: Struct<'virDomainBlockInfo'> = {};
    session.call(prototype, session.domain(uuid), disk, info, 0);
    return {
      capacity: Number(info.capacity),
      allocation: Number(info.allocation),
      physical: Number(info.physical),
    };
  }),
  getDiskErrors: composed((session, uuid: string): DiskError[] => {
    const prototype =
      'int virDomainGetDiskErrors(void *dom, _Out_ uint8_t *errors, unsigned int maxerrors, unsigned int flags)';
    const domain = session.domain(uuid);
    const disks = session.call(prototype, domain, null, 0, 0);
    return session.take
      .diskErrors(disks, (buffer) => session.call(prototype, domain, buffer, disks, 0))
      .map(({ disk, error }) => {
        const kind = DISK_ERRORS[error];
        return { disk, error: kind === undefined || kind === 'none' ? 'unspec' : kind };
      });
  }),

  // A domain: its guest agent.
  fsFreeze: onDomain(
    'int virDomainFSFreeze(void *dom, const char **mountpoints, unsigned int n, unsigned int flags)',
    asIs,
    'agent',
  ),
  fsThaw: onDomain(
    'int virDomainFSThaw(void *dom, const char **mountpoints, unsigned int n, unsigned int flags)',
    asIs,
    'agent',
  ),
  agentSetResponseTimeout: onDomain(
    'int virDomainAgentSetResponseTimeout(void *dom, int timeout, unsigned int flags)',
    nothing,
  ),
  qemuAgentCommand: onDomain(
    'str! virDomainQemuAgentCommand(void *dom, const char *cmd, int timeout, unsigned int flags)',
    asIs,
    'agent',
  ),
  /** Seconds since 1970, by the guest's clock. */
  getTime: composed((session, uuid: string): number => {
    const prototype =
      'int virDomainGetTime(void *dom, _Out_ long long *seconds, _Out_ unsigned int *nseconds, unsigned int flags)';
    const seconds: Out<Integer> = [0];
    session.call(prototype, session.domain(uuid), seconds, [0], 0);
    return Number(seconds[0]);
  }, 'agent'),
  setTime: onDomain(
    'int virDomainSetTime(void *dom, long long seconds, unsigned int nseconds, unsigned int flags)',
    nothing,
    'agent',
  ),
  /** The agent's name of the guest's system, such as `debian` or `mswindows`; null if it has none. */
  getGuestOs: composed((session, uuid: string): string | null => {
    const prototype =
      'int virDomainGetGuestInfo(void *dom, unsigned int types, _Out_ void **params, _Out_ int *nparams, unsigned int flags)';
    const params: Out<Pointer | null> = [null];
    const count: Out<number> = [0];
    session.call(prototype, session.domain(uuid), VIR_DOMAIN_GUEST_INFO_OS, params, count, 0);
    return session.take.typedStrings(params[0], count[0]).get('os.id') ?? null;
  }, 'agent'),
};

type Calls = typeof CALLS;
export type Method = keyof Calls;
export type Args<M extends Method> = Calls[M]['run'] extends (
  session: CSession,
  ...args: infer A
) => unknown
  ? A
  : never;
export type Result<M extends Method> = ReturnType<Calls[M]['run']>;

/** Whether a call may take longer than libvirtd itself needs: it waits for a guest or a storage. */
export function isLongCall(method: Method): boolean {
  return CALLS[method].limit !== 'short';
}

/** virStorageVolType, by number. */
const VOLUME_TYPES = ['file', 'block'] as const;
/** `(unsigned int)-1`. */
const NO_ID = 0xffff_ffff;

const FREE_SNAPSHOT = 'int virDomainSnapshotFree(void *snapshot)';
const FREE_CHECKPOINT = 'int virDomainCheckpointFree(void *checkpoint)';
const FREE_POOL = 'int virStoragePoolFree(void *pool)';
const FREE_VOLUME = 'int virStorageVolFree(void *vol)';

function domainName(session: CSession, uuid: string): string {
  return session.call('const char *virDomainGetName(void *dom)', session.domain(uuid));
}

function describeSnapshot(session: CSession, snapshot: Pointer): SnapshotXml {
  const xml = 'str! virDomainSnapshotGetXMLDesc(void *snapshot, unsigned int flags)';
  const isCurrent = 'int virDomainSnapshotIsCurrent(void *snapshot, unsigned int flags)';
  return {
    name: session.call('const char *virDomainSnapshotGetName(void *snapshot)', snapshot),
    xml: session.call(xml, snapshot, VIR_DOMAIN_SNAPSHOT_XML_SECURE),
    isCurrent: isOne(session.call(isCurrent, snapshot, 0)),
  };
}

function describeCheckpoint(session: CSession, checkpoint: Pointer): NamedXml {
  const xml = 'str! virDomainCheckpointGetXMLDesc(void *checkpoint, unsigned int flags)';
  return {
    name: session.call('const char *virDomainCheckpointGetName(void *checkpoint)', checkpoint),
    xml: session.call(xml, checkpoint, VIR_DOMAIN_CHECKPOINT_XML_SECURE),
  };
}

function withPool<T>(session: CSession, name: string, work: (pool: Pointer) => T): T {
  const prototype = 'void *virStoragePoolLookupByName(void *conn, const char *name)';
  return session.using(session.call(prototype, session.connection, name), FREE_POOL, work);
}

function withVolume<T>(
  session: CSession,
  pool: string,
  name: string,
  work: (volume: Pointer) => T,
): T {
  const prototype = 'void *virStorageVolLookupByName(void *pool, const char *name)';
  return withPool(session, pool, (found) =>
    session.using(session.call(prototype, found, name), FREE_VOLUME, work),
  );
}

function describeVolume(session: CSession, volume: Pointer): VolumeXml {
  const volumeXml = 'str! virStorageVolGetXMLDesc(void *vol, unsigned int flags)';
  const name = session.call('const char *virStorageVolGetName(void *vol)', volume);
  const xml = session.call(volumeXml, volume, 0);
  const pool = session.call('void *virStoragePoolLookupByVolume(void *vol)', volume);
  return session.using(pool, FREE_POOL, (found) => {
    const poolXml = 'str! virStoragePoolGetXMLDesc(void *pool, unsigned int flags)';
    return {
      pool: { name: poolName(session, found), xml: session.call(poolXml, found, 0) },
      ...{ name, xml },
    };
  });
}

function poolName(session: CSession, pool: Pointer): string {
  return session.call('const char *virStoragePoolGetName(void *pool)', pool);
}
