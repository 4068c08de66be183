// One libvirt domain: its definition, its power state, its disks and its guest agent.
// More than 200 lines: one method for each call of the C API, with nothing to follow.
import { processStartTime } from '../host/process-start.ts';
import { VIR_DOMAIN_TIME_SYNC } from './ffi/constants.ts';
import type { Invoke } from './ffi/protocol.ts';
import type {
  BlockInfo,
  BlockJobInfo,
  DiskError,
  DiskErrorKind,
  DomainRef,
  DomainState,
  JobInfo,
  NamedXml,
  SnapshotXml,
} from './ffi/results.ts';
import type { Runtime } from './runtime.ts';
import type { DomainStatus } from './status-xml.ts';

export type { BlockInfo, BlockJobInfo, DiskErrorKind, DomainState, JobInfo, NamedXml, SnapshotXml };

/** Paths of layers, or libvirt's names of them (`vda[2]`). */
export interface CommitRange {
  /** The layer that is written to; null for the lowest. */
  base: string | null;
  /** The highest layer that is committed; null for the active layer. */
  top: string | null;
}

/**
 * Methods keep libvirt's names without `virDomain`, and reject like those of `Connection`. A Domain
 * stands for its UUID: it stays valid when the domain is undefined and defined again.
 */
export class Domain {
  readonly name: string;
  readonly uuid: string;
  readonly #invoke: Invoke;

  constructor(invoke: Invoke, ref: DomainRef) {
    this.#invoke = invoke;
    this.name = ref.name;
    this.uuid = ref.uuid;
  }

  /** Flags VIR_DOMAIN_XML_*. With SECURE the XML holds passwords. */
  getXMLDesc(flags: number): Promise<string> {
    return this.#invoke('getXMLDesc', this.uuid, flags);
  }

  /** libvirt's id of the running guest, a new one after each start; null if it is off. */
  getID(): Promise<number | null> {
    return this.#invoke('getID', this.uuid);
  }

  isPersistent(): Promise<boolean> {
    return this.#invoke('isPersistent', this.uuid);
  }

  isActive(): Promise<boolean> {
    return this.#invoke('isActive', this.uuid);
  }

  /** `reason` is a number whose meaning depends on the state (virDomainPausedReason and so on). */
  getState(): Promise<{ state: DomainState; reason: number }> {
    return this.#invoke('getState', this.uuid);
  }

  getAutostart(): Promise<boolean> {
    return this.#invoke('getAutostart', this.uuid);
  }

  setAutostart(on: boolean): Promise<void> {
    return this.#invoke('setAutostart', this.uuid, on ? 1 : 0);
  }

  /** Flags VIR_DOMAIN_UNDEFINE_*. Removes autostart too. A running domain becomes transient. */
  undefineFlags(flags: number): Promise<void> {
    return this.#invoke('undefineFlags', this.uuid, flags);
  }

  /**
   * Writes the layers from `top` down to the one above `base` into `base`. Flags
   * VIR_DOMAIN_BLOCK_COMMIT_*; with ACTIVE the job waits for a pivot when it is ready.
   */
  blockCommit(
    disk: string,
    range: CommitRange,
    bandwidthMib: number,
    flags: number,
  ): Promise<void> {
    const { base, top } = range;
    return this.#invoke('blockCommit', this.uuid, disk, base, top, bandwidthMib, flags);
  }

  /** Writes all layers below the active layer into the active layer. */
  blockPull(disk: string, bandwidthMib: number, flags: number): Promise<void> {
    return this.#invoke('blockPull', this.uuid, disk, bandwidthMib, flags);
  }

  /**
   * With VIR_DOMAIN_BLOCK_REBASE_COPY: mirrors `disk` into the file `base`; 0 MiB/s is no limit.
   * Without flags: pulls all layers between the active layer and `base` into the active layer.
   */
  blockRebase(disk: string, base: string, bandwidthMib: number, flags: number): Promise<void> {
    return this.#invoke('blockRebase', this.uuid, disk, base, bandwidthMib, flags);
  }

  /**
   * Mirrors `disk` into the file or device of the `<disk>` element in `destXml`, which needs its
   * `<driver type=…/>`. Flags VIR_DOMAIN_BLOCK_COPY_*.
   */
  blockCopy(
    disk: string,
    destXml: string,
    params: { bandwidthBytes?: number },
    flags: number,
  ): Promise<void> {
    return this.#invoke('blockCopy', this.uuid, disk, destXml, params, flags);
  }

  /** Returns undefined if there is no job. A job that failed vanishes without an error. */
  blockJobInfo(disk: string): Promise<BlockJobInfo | undefined> {
    return this.#invoke('blockJobInfo', this.uuid, disk);
  }

  /** Flags VIR_DOMAIN_BLOCK_JOB_ABORT_*. Without a job it rejects with VIR_ERR.INVALID_ARG. */
  blockJobAbort(disk: string, flags: number): Promise<void> {
    return this.#invoke('blockJobAbort', this.uuid, disk, flags);
  }

  getBlockInfo(disk: string): Promise<BlockInfo> {
    return this.#invoke('getBlockInfo', this.uuid, disk);
  }

  /** Returns the disks whose last write failed, for lack of space or another reason. */
  getDiskErrors(): Promise<DiskError[]> {
    return this.#invoke('getDiskErrors', this.uuid);
  }

  /**
   * Resolves with the number of file systems frozen. Without an agent channel it rejects with
   * VIR_ERR.ARGUMENT_UNSUPPORTED, with no agent behind it with VIR_ERR.AGENT_UNRESPONSIVE.
   */
  fsFreeze(mountpoints: readonly string[] = []): Promise<number> {
    const list = mountpoints.length === 0 ? null : [...mountpoints];
    return this.#invoke('fsFreeze', this.uuid, list, mountpoints.length, 0);
  }

  /** Resolves with the number of file systems thawed; 0 if none was frozen. */
  fsThaw(): Promise<number> {
    return this.#invoke('fsThaw', this.uuid, null, 0, 0);
  }

  /** Sets how long libvirt waits for the agent's answers; a freeze has no other timeout. */
  agentSetResponseTimeout(seconds: number): Promise<void> {
    return this.#invoke('agentSetResponseTimeout', this.uuid, seconds, 0);
  }

  /** Returns what libvirt's status file says; undefined if the domain is off or the file is unreadable. */
  status(): Promise<DomainStatus | undefined> {
    return this.#invoke('status', this.uuid);
  }

  /** Whether this process sees the status file that the daemon keeps of the running domain. */
  seesDaemon(): Promise<boolean> {
    return this.#invoke('seesDaemon', this.uuid);
  }

  /** Returns the QEMU process that the domain runs in now. */
  async runtime(): Promise<Runtime> {
    const id = await this.getID();
    const pid = (await this.status())?.pid ?? null;
    return { id, pid, startTime: pid === null ? null : await processStartTime(pid) };
  }

  /** Sends one command to the guest agent and returns its answer, both JSON text. Taints the domain. */
  qemuAgentCommand(json: string, timeoutS: number): Promise<string> {
    return this.#invoke('qemuAgentCommand', this.uuid, json, timeoutS, 0);
  }

  /** Flags VIR_DOMAIN_SAVE_*. Resolves when the guest's RAM is written. */
  managedSave(flags: number): Promise<void> {
    return this.#invoke('managedSave', this.uuid, flags);
  }

  hasManagedSaveImage(): Promise<boolean> {
    return this.#invoke('hasManagedSaveImage', this.uuid, 0);
  }

  /** Returns the live XML of the moment of the save, which a start from it uses. Holds no passwords. */
  managedSaveGetXMLDesc(): Promise<string> {
    return this.#invoke('managedSaveGetXMLDesc', this.uuid, 0);
  }

  /** Flags VIR_DOMAIN_START_*. Starts from the managed save if there is one. */
  createWithFlags(flags: number): Promise<void> {
    return this.#invoke('createWithFlags', this.uuid, flags);
  }

  suspend(): Promise<void> {
    return this.#invoke('suspend', this.uuid);
  }

  resume(): Promise<void> {
    return this.#invoke('resume', this.uuid);
  }

  /** Returns the agent's name of the guest's system, such as `debian` or `mswindows`; null if it has none. */
  getGuestOs(): Promise<string | null> {
    return this.#invoke('getGuestOs', this.uuid);
  }

  /** Returns the guest's clock in seconds since 1970; needs an agent that answers. */
  getTime(): Promise<number> {
    return this.#invoke('getTime', this.uuid);
  }

  /** virDomainSetTime with SYNC: sets the guest's clock from its RTC; needs an agent that answers. */
  setTimeSync(): Promise<void> {
    return this.#invoke('setTime', this.uuid, 0, 0, VIR_DOMAIN_TIME_SYNC);
  }

  getJobInfo(): Promise<JobInfo> {
    return this.#invoke('getJobInfo', this.uuid);
  }

  /** Returns the virDomainJobOperation; null if there is no job, or libvirt does not report it. */
  getJobOperation(): Promise<number | null> {
    return this.#invoke('getJobOperation', this.uuid);
  }

  /**
   * Aborts the domain's job (a managed save); call it on another connection than the one that waits
   * for the job. A late abort resolves although the save succeeds (libvirt 9.0): only the save's own
   * result shows the outcome, VIR_ERR.OPERATION_ABORTED or success.
   */
  abortJob(): Promise<void> {
    return this.#invoke('abortJob', this.uuid);
  }

  /** Flags VIR_DOMAIN_AFFECT_*. */
  attachDeviceFlags(xml: string, flags: number): Promise<void> {
    return this.#invoke('attachDeviceFlags', this.uuid, xml, flags);
  }

  /** Flags VIR_DOMAIN_AFFECT_*. A live detach is a request that the guest may answer late. */
  detachDeviceFlags(xml: string, flags: number): Promise<void> {
    return this.#invoke('detachDeviceFlags', this.uuid, xml, flags);
  }

  /** Returns parents before children, with XML that can be defined again; it holds passwords. */
  listSnapshots(): Promise<SnapshotXml[]> {
    return this.#invoke('listSnapshots', this.uuid);
  }

  /** Returns parents before children, with XML that can be defined again; it holds passwords. */
  listCheckpoints(): Promise<NamedXml[]> {
    return this.#invoke('listCheckpoints', this.uuid);
  }

  /** Flags VIR_DOMAIN_SNAPSHOT_CREATE_*. */
  snapshotCreateXML(xml: string, flags: number): Promise<void> {
    return this.#invoke('snapshotCreateXML', this.uuid, xml, flags);
  }

  /** Flags VIR_DOMAIN_SNAPSHOT_DELETE_*. */
  snapshotDelete(name: string, flags: number): Promise<void> {
    return this.#invoke('snapshotDelete', this.uuid, name, flags);
  }

  /** Flags VIR_DOMAIN_CHECKPOINT_CREATE_*. */
  checkpointCreateXML(xml: string, flags: number): Promise<void> {
    return this.#invoke('checkpointCreateXML', this.uuid, xml, flags);
  }
}
