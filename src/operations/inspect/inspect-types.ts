// The options and results of the inspection of a domain.
import type { CaptureMode, ChainLayer, PlanObstacle } from '../../core/model.ts';
import type { SnapshotPlan } from '../snapshot/snapshot-types.ts';

/** What is inspected. Missing options come from the configuration. */
export interface InspectDomainOptions {
  /** Name, UUID or id of the domain. */
  domain: string;
  /** libvirt URI; else `LIBVIRT_DEFAULT_URI`, else the configuration. */
  connect?: string;
  /** Registry of the image: `s3://bucket/prefix` or a directory. */
  registry?: string;
  workDir?: string;
  signal?: AbortSignal;
}

/** An error that a snapshot would fail with. */
export interface Obstacle extends PlanObstacle {
  /** The disk; null if it is about the domain or the registry. */
  target: string | null;
}

/** Whether a mode is possible, and the reason. */
export interface Verdict {
  possible: boolean;
  reason: string;
}

/** One disk of an inspected domain. */
export interface DiskReport {
  target: string;
  device: string;
  bus: string;
  /** `file`, `block`, `network`… */
  type: string;
  source: string | null;
  format: string | null;
  bootOrder: number | null;
  readonly: boolean;
  shareable: boolean;
  /** Whether a snapshot takes this disk if none is named. */
  isRoot: boolean;
  /** The active layer first, as far down as the chain can be followed. */
  layers: readonly ChainLayer[];
  /** The block job on the disk; null if none runs. */
  job: { type: string; cur: number; end: number } | null;
  live: Verdict;
  cold: Verdict;
  /** How a snapshot without flags would capture this disk alone; null if it would fail. */
  chosen: ChosenWay | null;
}

/** How a disk would be captured; the fields are those of SnapshotPlan. */
export interface ChosenWay
  extends Pick<SnapshotPlan, 'modeReason' | 'method' | 'methodReason' | 'undefines' | 'detaches'> {
  mode: CaptureMode;
}

/** One snapshot that libvirt has of the domain. */
export interface SnapshotReport {
  name: string;
  /** Where the states of the disks are: in their own files, in other files, or both. */
  kind: 'internal' | 'external' | 'mixed';
  /** Whether it includes the guest's memory. */
  memory: boolean;
  /** ISO 8601; null if libvirt does not report it. */
  createdAt: string | null;
  /** Targets of the disks in it. */
  disks: readonly string[];
}

/** An inspected domain. */
export interface DomainReport {
  domain: {
    name: string;
    uuid: string;
    state: string;
    persistent: boolean;
    autostart: boolean;
    type: string;
    arch: string;
    machine: string | null;
    memoryMib: number;
    vcpus: number;
    firmware: 'bios' | 'uefi';
    secureBoot: boolean;
    nvram: string | null;
    tpm: { model: string | null; backend: string | null; persistentState: boolean } | null;
    /**
     * `none`: no channel; `silent`: a channel, but no agent answers; `frozen`: it answers, and the
     * guest's file systems are frozen already.
     */
    agent: 'answers' | 'frozen' | 'silent' | 'none';
    managedSave: boolean;
  };
  disks: readonly DiskReport[];
  snapshots: readonly SnapshotReport[];
  checkpoints: readonly string[];
  /** Devices of the host that are passed through to the guest. */
  hostDevices: readonly { kind: string; address: string }[];
  /** The plan of a snapshot without flags; null if it would fail. */
  plan: SnapshotPlan | null;
  obstacles: readonly Obstacle[];
}
