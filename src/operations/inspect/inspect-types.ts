// What goes into an inspection of a domain and what comes out of it.
import type { CaptureMode, ChainLayer, PlanObstacle } from '../../core/model.ts';
import type { SnapshotPlan } from '../snapshot/snapshot-types.ts';

export interface InspectOptions {
  /** Name, UUID or id of the domain. */
  domain: string;
  /** libvirt URI; else `LIBVIRT_DEFAULT_URI`, else the configuration. */
  connect?: string;
  /** Where an image would go: `s3://bucket/prefix` or a directory. */
  registry?: string;
  workDir?: string;
  signal?: AbortSignal;
}

/** An error that a snapshot would fail with. */
export interface Obstacle extends PlanObstacle {
  /** The disk; null if it concerns the domain or the registry. */
  target: string | null;
}

/** Whether something can be done, and why (not). */
export interface Verdict {
  possible: boolean;
  reason: string;
}

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
  /** The one that is taken where none is named. */
  isRoot: boolean;
  /** The active layer first, as far down as they can be followed. */
  layers: readonly ChainLayer[];
  /** The block job that runs on it; null where there is none. */
  job: { type: string; cur: number; end: number } | null;
  live: Verdict;
  cold: Verdict;
  /** What would be done with it alone, with no flags; null where nothing can be. */
  chosen: ChosenWay | null;
}

/** As in SnapshotPlan. */
export interface ChosenWay
  extends Pick<SnapshotPlan, 'modeReason' | 'method' | 'methodReason' | 'undefines' | 'detaches'> {
  mode: CaptureMode;
}

export interface SnapshotReport {
  name: string;
  /** Where the disks' states are: in the disks' own files, in files of their own, or both. */
  kind: 'internal' | 'external' | 'mixed';
  /** With the guest's memory. */
  memory: boolean;
  /** ISO 8601; null where libvirt does not tell. */
  createdAt: string | null;
  /** Targets of the disks that it covers. */
  disks: readonly string[];
}

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
     * `none`: no channel; `silent`: a channel, but no agent answers; `frozen`: it answers, and
     * somebody has frozen the guest's file systems already.
     */
    agent: 'answers' | 'frozen' | 'silent' | 'none';
    managedSave: boolean;
  };
  disks: readonly DiskReport[];
  snapshots: readonly SnapshotReport[];
  checkpoints: readonly string[];
  /** Devices of the host that the guest has. */
  hostDevices: readonly { kind: string; address: string }[];
  /** What `snapshot` would do with no flags; null where it would fail. */
  plan: SnapshotPlan | null;
  obstacles: readonly Obstacle[];
}
