// Flags and numbers of libvirt's C API, as its headers have them (libvirt-domain.h, 9.0.0).

export const VIR_DOMAIN_XML_SECURE = 1 << 0;
export const VIR_DOMAIN_XML_INACTIVE = 1 << 1;

export const VIR_DOMAIN_DEFINE_VALIDATE = 1 << 0;

export const VIR_DOMAIN_UNDEFINE_MANAGED_SAVE = 1 << 0;
export const VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA = 1 << 1;
export const VIR_DOMAIN_UNDEFINE_NVRAM = 1 << 2;
export const VIR_DOMAIN_UNDEFINE_KEEP_NVRAM = 1 << 3;
/** Since libvirt 5.6. */
export const VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA = 1 << 4;
/** Since libvirt 8.9. */
export const VIR_DOMAIN_UNDEFINE_TPM = 1 << 5;
/** Since libvirt 8.9. */
export const VIR_DOMAIN_UNDEFINE_KEEP_TPM = 1 << 6;

export const VIR_DOMAIN_BLOCK_REBASE_SHALLOW = 1 << 0;
export const VIR_DOMAIN_BLOCK_REBASE_REUSE_EXT = 1 << 1;
export const VIR_DOMAIN_BLOCK_REBASE_COPY_RAW = 1 << 2;
export const VIR_DOMAIN_BLOCK_REBASE_COPY = 1 << 3;
export const VIR_DOMAIN_BLOCK_REBASE_RELATIVE = 1 << 4;
export const VIR_DOMAIN_BLOCK_REBASE_COPY_DEV = 1 << 5;
export const VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES = 1 << 6;

/** Into the layer below, where no base is named. */
export const VIR_DOMAIN_BLOCK_COMMIT_SHALLOW = 1 << 0;
export const VIR_DOMAIN_BLOCK_COMMIT_ACTIVE = 1 << 2;

export const VIR_DOMAIN_BLOCK_COPY_SHALLOW = 1 << 0;
export const VIR_DOMAIN_BLOCK_COPY_REUSE_EXT = 1 << 1;
/** Since libvirt 3.5. */
export const VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB = 1 << 2;
/** Since libvirt 8.0. */
export const VIR_DOMAIN_BLOCK_COPY_SYNCHRONOUS_WRITES = 1 << 3;
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

export const VIR_DOMAIN_SAVE_BYPASS_CACHE = 1 << 0;
export const VIR_DOMAIN_SAVE_RUNNING = 1 << 1;
export const VIR_DOMAIN_SAVE_PAUSED = 1 << 2;

export const VIR_DOMAIN_GUEST_INFO_OS = 1 << 1;
export const VIR_DOMAIN_START_PAUSED = 1 << 0;
export const VIR_DOMAIN_START_AUTODESTROY = 1 << 1;
export const VIR_DOMAIN_START_BYPASS_CACHE = 1 << 2;
export const VIR_DOMAIN_START_FORCE_BOOT = 1 << 3;

export const VIR_DOMAIN_AFFECT_CURRENT = 0;
export const VIR_DOMAIN_AFFECT_LIVE = 1 << 0;
export const VIR_DOMAIN_AFFECT_CONFIG = 1 << 1;

/** Set the guest's clock from its own RTC. */
export const VIR_DOMAIN_TIME_SYNC = 1 << 0;

/** virDomainAgentSetResponseTimeout: wait for ever; what a domain has unless somebody set another. */
export const VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK = -2;
/** virDomainAgentSetResponseTimeout: libvirt's own default (5 s for most commands). */
export const VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_DEFAULT = -1;

export const VIR_CONNECT_LIST_DOMAINS_ACTIVE = 1 << 0;
export const VIR_CONNECT_LIST_DOMAINS_INACTIVE = 1 << 1;
export const VIR_CONNECT_LIST_DOMAINS_PERSISTENT = 1 << 2;
export const VIR_CONNECT_LIST_DOMAINS_TRANSIENT = 1 << 3;

export const VIR_DOMAIN_SNAPSHOT_XML_SECURE = VIR_DOMAIN_XML_SECURE;
/** Parents before children, so that the list can be redefined in its order. */
export const VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL = 1 << 10;
/** virDomainSnapshotCreateXML: put metadata back that was lost, and make it the current one. */
export const VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE = 1 << 0;
export const VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT = 1 << 1;
/** Of the disks alone, without the guest's memory. */
export const VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY = 1 << 4;
/** All disks or none. */
export const VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC = 1 << 7;
/** Forget the snapshot; its files stay. */
export const VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY = 1 << 1;
export const VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE = 1 << 0;
export const VIR_DOMAIN_CHECKPOINT_XML_SECURE = 1 << 0;
export const VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL = 1 << 1;

/** Values of virDomainJobType. */
/** virDomainJobOperation: what a domain's job is. */
export const VIR_DOMAIN_JOB_OPERATION_SAVE = 2;

export const VIR_DOMAIN_JOB = {
  NONE: 0,
  BOUNDED: 1,
  UNBOUNDED: 2,
  COMPLETED: 3,
  FAILED: 4,
  CANCELLED: 5,
} as const;

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
/** virDomainShutoffReason SAVED: the RAM is in a managed save image. */
export const VIR_DOMAIN_SHUTOFF_SAVED = 5;
/** virDomainPausedReason IOERROR: QEMU stopped the guest at a write that failed, as for no space. */
export const VIR_DOMAIN_PAUSED_IOERROR = 5;
/** virDomainPausedReason USER. */
export const VIR_DOMAIN_PAUSED_USER = 1;
/** virDomainPausedReason SAVE. */
export const VIR_DOMAIN_PAUSED_SAVE = 3;

/** Values of virDomainDiskErrorCode, by number. */
export const DISK_ERRORS = ['none', 'unspec', 'no-space'] as const;
