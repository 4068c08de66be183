// One libvirt domain: its definition, its power state, its disks and its guest agent.
// More than 200 lines: one method for each call of the C API, with nothing to follow.
import type {
  BlockInfo,
  BlockJobInfo,
  CommitRange,
  DiskErrorKind,
  DomainRef,
  DomainState,
  Invoke,
  JobInfo,
  NamedXml,
  SnapshotXml,
} from './ffi/protocol.ts';
import { processStartTime, type Runtime } from './runtime.ts';
import type { DomainStatus } from './status-xml.ts';

export type { BlockInfo, BlockJobInfo, DiskErrorKind, DomainState, JobInfo, NamedXml, SnapshotXml };

/**
 * Methods keep libvirt's names without `virDomain`, and reject as those of `Connection` do. A
 * Domain stands for its UUID: it stays good when the domain is undefined and defined again.
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

  /** libvirt's number for the running guest, another one after each start; null if it is off. */
  getID(): Promise<number | null> {
    return this.#invoke('getID', this.uuid);
  }

  isPersistent(): Promise<boolean> {
    return this.#invoke('isPersistent', this.uuid);
  }

  isActive(): Promise<boolean> {
    return this.#invoke('isActive', this.uuid);
  }

  /** `reason` is a number whose meaning hangs on the state (virDomainPausedReason and so on). */
  getState(): Promise<{ state: DomainState; reason: number }> {
    return this.#invoke('getState', this.uuid);
  }

  getAutostart(): Promise<boolean> {
    return this.#invoke('getAutostart', this.uuid);
  }

  setAutostart(on: boolean): Promise<void> {
    return this.#invoke('setAutostart', this.uuid, on);
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
    return this.#invoke('blockCommit', this.uuid, disk, range, bandwidthMib, flags);
  }

  /** Writes all that lies below the active layer into it. */
  blockPull(disk: string, bandwidthMib: number, flags: number): Promise<void> {
    return this.#invoke('blockPull', this.uuid, disk, bandwidthMib, flags);
  }

  /**
   * With VIR_DOMAIN_BLOCK_REBASE_COPY: a mirror of `disk` into `base`; 0 MiB/s is no cap. With no
   * flag: a pull of all between the active layer and `base`.
   */
  blockRebase(disk: string, base: string, bandwidthMib: number, flags: number): Promise<void> {
    return this.#invoke('blockRebase', this.uuid, disk, base, bandwidthMib, flags);
  }

  /**
   * A mirror of `disk` into what the `<disk>` element in `destXml` describes, which needs its
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

  /** Undefined where there is no job: also when one has failed, for it vanishes without a word. */
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

  /** The disks whose last write failed, as for want of space; empty where all is well. */
  getDiskErrors(): Promise<{ disk: string; error: DiskErrorKind }[]> {
    return this.#invoke('getDiskErrors', this.uuid);
  }

  /**
   * Resolves with the number of file systems frozen. Without an agent channel it rejects with
   * VIR_ERR.ARGUMENT_UNSUPPORTED, with no agent behind it with VIR_ERR.AGENT_UNRESPONSIVE.
   */
  fsFreeze(mountpoints: readonly string[] = []): Promise<number> {
    return this.#invoke('fsFreeze', this.uuid, mountpoints);
  }

  /** Resolves with the number of file systems thawed; 0 where none was frozen. */
  fsThaw(): Promise<number> {
    return this.#invoke('fsThaw', this.uuid);
  }

  /** How long libvirt waits for the agent's answers; the freeze has no other timeout. */
  agentSetResponseTimeout(seconds: number): Promise<void> {
    return this.#invoke('agentSetResponseTimeout', this.uuid, seconds);
  }

  /** From libvirt's status file; undefined if the domain is off, or the file cannot be read. */
  status(): Promise<DomainStatus | undefined> {
    return this.#invoke('status', this.uuid);
  }

  /** Whether the daemon of the running domain has its files where this process sees them. */
  seesDaemon(): Promise<boolean> {
    return this.#invoke('seesDaemon', this.uuid);
  }

  /** The QEMU process that the domain runs in now. */
  async runtime(): Promise<Runtime> {
    const id = await this.getID();
    const pid = (await this.status())?.pid ?? null;
    return { id, pid, startTime: pid === null ? null : processStartTime(pid) };
  }

  /** One command to the guest agent, and its answer, both as JSON text. */
  qemuAgentCommand(json: string, timeoutS: number): Promise<string> {
    return this.#invoke('qemuAgentCommand', this.uuid, json, timeoutS);
  }

  /** Flags VIR_DOMAIN_SAVE_*. Takes as long as writing the guest's RAM does. */
  managedSave(flags: number): Promise<void> {
    return this.#invoke('managedSave', this.uuid, flags);
  }

  hasManagedSaveImage(): Promise<boolean> {
    return this.#invoke('hasManagedSaveImage', this.uuid);
  }

  /** The live XML as it was at the save: what a start from it gives QEMU. Holds no passwords. */
  managedSaveGetXMLDesc(): Promise<string> {
    return this.#invoke('managedSaveGetXMLDesc', this.uuid);
  }

  managedSaveRemove(): Promise<void> {
    return this.#invoke('managedSaveRemove', this.uuid);
  }

  /** Flags VIR_DOMAIN_START_*. Starts from the managed save where there is one. */
  createWithFlags(flags: number): Promise<void> {
    return this.#invoke('createWithFlags', this.uuid, flags);
  }

  suspend(): Promise<void> {
    return this.#invoke('suspend', this.uuid);
  }

  resume(): Promise<void> {
    return this.#invoke('resume', this.uuid);
  }

  destroy(): Promise<void> {
    return this.#invoke('destroy', this.uuid);
  }

  /** The guest's clock, in seconds since 1970; needs an agent that answers. */
  /** What the guest's agent says its system is, as `debian` or `mswindows`; null if it does not say. */
  getGuestOs(): Promise<string | null> {
    return this.#invoke('getGuestOs', this.uuid);
  }

  getTime(): Promise<number> {
    return this.#invoke('getTime', this.uuid);
  }

  /** virDomainSetTime with SYNC: the guest's clock from its RTC; needs an agent that answers. */
  setTimeSync(): Promise<void> {
    return this.#invoke('setTimeSync', this.uuid);
  }

  getJobInfo(): Promise<JobInfo> {
    return this.#invoke('getJobInfo', this.uuid);
  }

  /** What the domain's job is, as `VIR_DOMAIN_JOB_OPERATION`; null if there is none, or it is not said. */
  getJobOperation(): Promise<number | null> {
    return this.#invoke('getJobOperation', this.uuid);
  }

  /**
   * Aborts the domain's job (a managed save); from a connection other than the one that waits. An
   * abort that comes late resolves all the same while the save succeeds (libvirt 9.0): what became
   * of the domain stands in the save's own result, VIR_ERR.OPERATION_ABORTED or none.
   */
  abortJob(): Promise<void> {
    return this.#invoke('abortJob', this.uuid);
  }

  /** Flags VIR_DOMAIN_AFFECT_*. */
  attachDeviceFlags(xml: string, flags: number): Promise<void> {
    return this.#invoke('attachDeviceFlags', this.uuid, xml, flags);
  }

  /** Flags VIR_DOMAIN_AFFECT_*. A live detach is a request: the guest may take its time. */
  detachDeviceFlags(xml: string, flags: number): Promise<void> {
    return this.#invoke('detachDeviceFlags', this.uuid, xml, flags);
  }

  /** Parents first, with their XML as it can be defined again; it holds passwords. */
  listSnapshots(): Promise<SnapshotXml[]> {
    return this.#invoke('listSnapshots', this.uuid);
  }

  /** Parents first, with their XML as it can be defined again; it holds passwords. */
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
