// Flags and numbers of libvirt's C API, from its headers (libvirt-domain.h, 9.0.0); only those in use.

export const VIR_DOMAIN_XML_SECURE = 1 << 0;
export const VIR_DOMAIN_XML_INACTIVE = 1 << 1;

export const VIR_DOMAIN_UNDEFINE_KEEP_NVRAM = 1 << 3;
/** Since libvirt 8.9. */
export const VIR_DOMAIN_UNDEFINE_KEEP_TPM = 1 << 6;

export const VIR_DOMAIN_BLOCK_REBASE_SHALLOW = 1 << 0;
export const VIR_DOMAIN_BLOCK_REBASE_REUSE_EXT = 1 << 1;
export const VIR_DOMAIN_BLOCK_REBASE_COPY = 1 << 3;

export const VIR_DOMAIN_BLOCK_COMMIT_ACTIVE = 1 << 2;

export const VIR_DOMAIN_BLOCK_COPY_SHALLOW = 1 << 0;
export const VIR_DOMAIN_BLOCK_COPY_REUSE_EXT = 1 << 1;
/** Since libvirt 3.5. */
export const VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB = 1 << 2;
/** Name of virDomainBlockCopy's parameter: bytes a second, ULLONG. */
export const VIR_DOMAIN_BLOCK_COPY_BANDWIDTH = 'bandwidth';

export const VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC = 1 << 0;
export const VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT = 1 << 1;
export const VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES = 1 << 0;

/** Values of virDomainBlockJobType. */
export const VIR_DOMAIN_BLOCK_JOB_TYPE = {
  UNKNOWN: 0,
  PULL: 1,
  COPY: 2,
  COMMIT: 3,
  ACTIVE_COMMIT: 4,
  BACKUP: 5,
} as const;

export const VIR_DOMAIN_GUEST_INFO_OS = 1 << 1;

export const VIR_DOMAIN_AFFECT_LIVE = 1 << 0;

/** Set the guest's clock from its own RTC. */
export const VIR_DOMAIN_TIME_SYNC = 1 << 0;

/** virDomainAgentSetResponseTimeout: wait forever, the default of a domain. */
export const VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK = -2;

export const VIR_DOMAIN_SNAPSHOT_XML_SECURE = VIR_DOMAIN_XML_SECURE;
/** Parents before children, so that the list can be redefined in its order. */
export const VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL = 1 << 10;
/** virDomainSnapshotCreateXML: define lost metadata again; make it the current snapshot. */
export const VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE = 1 << 0;
export const VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT = 1 << 1;
/** Only disks, without the guest's memory. */
export const VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY = 1 << 4;
/** All disks or none. */
export const VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC = 1 << 7;
/** Deletes the metadata; the files stay. */
export const VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY = 1 << 1;
export const VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE = 1 << 0;
export const VIR_DOMAIN_CHECKPOINT_XML_SECURE = 1 << 0;
export const VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL = 1 << 1;

/** virDomainJobOperation SAVE: the domain's job is a managed save. */
export const VIR_DOMAIN_JOB_OPERATION_SAVE = 2;

/** virDomainJobType NONE. */
export const VIR_DOMAIN_JOB_NONE = 0;

/** Values of virDomainState, by number. */
export const DOMAIN_STATES = [
  'nostate',
  'running',
  'blocked',
  'paused',
  'shutdown',
  'shutoff',
  'crashed',
  'pmsuspended',
] as const;

/** virDomainRunningReason BOOTED. */
export const VIR_DOMAIN_RUNNING_BOOTED = 1;
/** virDomainPausedReason USER. */
export const VIR_DOMAIN_PAUSED_USER = 1;
/** virDomainPausedReason SAVE. */
export const VIR_DOMAIN_PAUSED_SAVE = 3;

/** Values of virDomainDiskErrorCode, by number. */
export const DISK_ERRORS = ['none', 'unspec', 'no-space'] as const;
