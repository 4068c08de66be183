// What the main thread asks of a connection's worker, and what it gets: one typed map for both ends.
import type { LibvirtErrorFields } from '../errors.ts';
import type { DomainStatus } from '../status-xml.ts';
import type { DISK_ERRORS, DOMAIN_STATES } from './constants.ts';

export type DomainState = (typeof DOMAIN_STATES)[number];
export type DiskErrorKind = Exclude<(typeof DISK_ERRORS)[number], 'none'>;

/** `bandwidth` in bytes a second; `cur` and `end` are bytes, but see the NOTE at `blockJobInfo`. */
export interface BlockJobInfo {
  /** virDomainBlockJobType; see `VIR_DOMAIN_BLOCK_JOB_TYPE`. */
  type: number;
  bandwidth: number;
  cur: number;
  end: number;
}

/** Paths of layers, or libvirt's names of them (`vda[2]`); null is the lowest, and the active one. */
export interface CommitRange {
  base: string | null;
  top: string | null;
}

/** All in bytes: what the guest sees, what is written, and where the file ends on the host. */
export interface BlockInfo {
  capacity: number;
  allocation: number;
  physical: number;
}

/** Progress of the domain's running job (a managed save, for one), in bytes of RAM and disk. */
export interface JobInfo {
  /** virDomainJobType; 0 where there is no job. */
  type: number;
  dataTotal: number;
  dataProcessed: number;
  dataRemaining: number;
  timeElapsedMs: number;
}

export interface DomainRef {
  name: string;
  uuid: string;
}

/** Where a volume of a storage pool is. */
export interface VolumePlace {
  /** `other`: a directory, or on a network. */
  type: 'file' | 'block' | 'other';
  path: string;
}

export interface NamedXml {
  name: string;
  xml: string;
}

export interface SnapshotXml extends NamedXml {
  /** The one that libvirt takes for the guest's present state. */
  isCurrent: boolean;
}

/** Calls on the connection. */
export interface ConnectionApi {
  open(uri: string): void;
  close(): void;
  isAlive(): boolean;
  getLibVersion(): number;
  getVersion(): number;
  lookupByName(name: string): DomainRef;
  lookupByUUIDString(uuid: string): DomainRef;
  lookupByID(id: number): DomainRef;
  listAllDomains(flags: number): DomainRef[];
  defineXML(xml: string, flags: number): DomainRef;
  lookupVolume(pool: string, volume: string): VolumePlace;
}

/** A volume, and the pool that it is in, with what libvirt says of both. */
export interface VolumeXml {
  pool: NamedXml;
  name: string;
  xml: string;
}

/** Calls on storage pools and networks, by their names, and on volumes. */
export interface StorageApi {
  volumeByPath(path: string): VolumeXml;
  volumeByName(pool: string, name: string): VolumeXml;
  /** The name of the pool with this directory, or this volume group below /dev. */
  poolByTargetPath(path: string): string;
  /** Lets the pool see what was made or removed past libvirt. */
  refreshPool(pool: string): void;
  poolIsActive(pool: string): boolean;
  networkIsActive(network: string): boolean;
  createVolume(pool: string, xml: string): void;
  deleteVolume(pool: string, name: string): void;
}

/** Calls on one domain; the first argument is its UUID. */
export interface DomainApi {
  getXMLDesc(uuid: string, flags: number): string;
  getID(uuid: string): number | null;
  isPersistent(uuid: string): boolean;
  isActive(uuid: string): boolean;
  getState(uuid: string): { state: DomainState; reason: number };
  getAutostart(uuid: string): boolean;
  setAutostart(uuid: string, on: boolean): void;
  undefineFlags(uuid: string, flags: number): void;
  createWithFlags(uuid: string, flags: number): void;
  suspend(uuid: string): void;
  resume(uuid: string): void;
  destroy(uuid: string): void;
  managedSave(uuid: string, flags: number): void;
  hasManagedSaveImage(uuid: string): boolean;
  managedSaveGetXMLDesc(uuid: string): string;
  managedSaveRemove(uuid: string): void;
  getJobInfo(uuid: string): JobInfo;
  getJobOperation(uuid: string): number | null;
  abortJob(uuid: string): void;
  attachDeviceFlags(uuid: string, xml: string, flags: number): void;
  detachDeviceFlags(uuid: string, xml: string, flags: number): void;
  listSnapshots(uuid: string): SnapshotXml[];
  listCheckpoints(uuid: string): NamedXml[];
  snapshotCreateXML(uuid: string, xml: string, flags: number): void;
  snapshotDelete(uuid: string, name: string, flags: number): void;
  checkpointCreateXML(uuid: string, xml: string, flags: number): void;
}

/** Calls on one domain's disks and on its guest agent. */
export interface GuestApi {
  blockRebase(uuid: string, disk: string, base: string, bandwidthMib: number, flags: number): void;
  blockCommit(
    uuid: string,
    disk: string,
    range: CommitRange,
    bandwidthMib: number,
    flags: number,
  ): void;
  blockPull(uuid: string, disk: string, bandwidthMib: number, flags: number): void;
  blockCopy(
    uuid: string,
    disk: string,
    destXml: string,
    params: { bandwidthBytes?: number },
    flags: number,
  ): void;
  blockJobInfo(uuid: string, disk: string): BlockJobInfo | undefined;
  blockJobAbort(uuid: string, disk: string, flags: number): void;
  getBlockInfo(uuid: string, disk: string): BlockInfo;
  getDiskErrors(uuid: string): { disk: string; error: DiskErrorKind }[];
  fsFreeze(uuid: string, mountpoints: readonly string[]): number;
  fsThaw(uuid: string): number;
  agentSetResponseTimeout(uuid: string, seconds: number): void;
  /** Undefined if it cannot be read. */
  status(uuid: string): DomainStatus | undefined;
  seesDaemon(uuid: string): boolean;
  qemuAgentCommand(uuid: string, json: string, timeoutS: number): string;
  /** Seconds since 1970, as the guest's clock has it. */
  getTime(uuid: string): number;
  /** The agent's word for the guest's system, as `debian`, `mswindows`; null if it has none. */
  getGuestOs(uuid: string): string | null;
  setTimeSync(uuid: string): void;
}

export interface WorkerApi extends ConnectionApi, StorageApi, DomainApi, GuestApi {}

export type Method = keyof WorkerApi;

/** One call, with the arguments its method has. */
export type Call = {
  [M in Method]: { method: M; args: Parameters<WorkerApi[M]> };
}[Method];

export type Request = Call & { id: number };

/** What a worker answers; `value` has the result type of the method that was called. */
export type Reply =
  | { id: number; ok: true; value: ReturnType<WorkerApi[Method]> }
  | { id: number; ok: false; error: LibvirtErrorFields };

/** Makes one call through a worker; rejects with `LibvirtError` or `PublishError` LIBVIRT. */
export type Invoke = <M extends Method>(
  method: M,
  ...args: Parameters<WorkerApi[M]>
) => Promise<ReturnType<WorkerApi[M]>>;
