// What a snapshot of a domain's volumes will do, as it is shown to people and callers.
import type { PlanObstacle, QuiescePolicy } from '../../core/model.ts';

/**
 * `volume`: the pool makes a volume of what the disk holds (LVM). `overlay`: the domain goes on in an
 * overlay, and the volume that it had stays as it was, and is the snapshot.
 */
export type VolumeSnapshotKind = 'volume' | 'overlay';

/** One disk, the root disk first. Sizes in bytes. */
export interface PlannedVolume {
  target: string;
  bus: string;
  /** 0 for the root disk; null for one that the guest does not boot from. */
  bootIndex: number | null;
  pool: string;
  /** Name of the disk's volume in its pool. */
  volume: string;
  format: string;
  virtualSize: number;
  /** Name of the volume that will be the snapshot. */
  snapshot: string;
  /** Path of the overlay that the domain goes on in; null where it goes on in its volume. */
  overlay: string | null;
}

/** What a volume snapshot would do. */
export interface VolumePlan {
  domain: { name: string; uuid: string; state: string; persistent: boolean };
  kind: VolumeSnapshotKind;
  volumes: readonly PlannedVolume[];
  quiesce: QuiescePolicy;
  image: { name: string };
  registry: string;
  /** Errors that the run would fail with; empty in the result of a run. */
  obstacles: readonly PlanObstacle[];
}
