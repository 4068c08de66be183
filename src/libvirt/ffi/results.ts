// What the calls of libvirt return to the main thread: plain data.
import type { DISK_ERRORS, DOMAIN_STATES } from './constants.ts';

export type DomainState = (typeof DOMAIN_STATES)[number];
export type DiskErrorKind = Exclude<(typeof DISK_ERRORS)[number], 'none'>;

export interface DiskError {
  /** Target of the disk: `vda`. */
  disk: string;
  error: DiskErrorKind;
}

/** `bandwidth` is in bytes a second; `cur` and `end` are in bytes, but see the NOTE at `blockJobInfo`. */
export interface BlockJobInfo {
  /** virDomainBlockJobType; see `VIR_DOMAIN_BLOCK_JOB_TYPE`. */
  type: number;
  bandwidth: number;
  cur: number;
  end: number;
}

/** All in bytes: the size that the guest sees, what is written, and the size of the file on the host. */
export interface BlockInfo {
  capacity: number;
  allocation: number;
  physical: number;
}

/** Progress of the domain's running job, such as a managed save, in bytes of RAM and disk. */
export interface JobInfo {
  /** virDomainJobType; 0 if there is no job. */
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

export interface NamedXml {
  name: string;
  xml: string;
}

export interface SnapshotXml extends NamedXml {
  /** Whether libvirt takes it for the guest's present state. */
  isCurrent: boolean;
}

/** The file or device of a volume of a storage pool. */
export interface VolumePlace {
  /** `other`: a directory, or on a network. */
  type: 'file' | 'block' | 'other';
  path: string;
}

/** A volume and its pool, each with its XML. */
export interface VolumeXml {
  pool: NamedXml;
  name: string;
  xml: string;
}
