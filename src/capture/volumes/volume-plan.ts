// The plan of a snapshot of a domain's volumes, which is part of the public API.
import type { PlanObstacle, QuiescePolicy } from '../../core/model.ts';

/**
 * `volume`: the pool makes a volume with the disk's content (LVM). `overlay`: the domain uses a new
 * overlay from then on, and its former volume stays unchanged as the snapshot.
 */
export type VolumeSnapshotKind = 'volume' | 'overlay';

/** One disk, the root disk first. Sizes in bytes. */
export interface PlannedVolume {
  target: string;
  bus: string;
  /** 0 for the root disk; null for a disk that the guest does not boot from. */
  bootIndex: number | null;
  pool: string;
  /** Name of the disk's volume in its pool. */
  volume: string;
  format: string;
  virtualSize: number;
  /** Name of the volume that will be the snapshot. */
  snapshot: string;
  /** Path of the overlay that the domain will use; null if it keeps its volume. */
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
  /** The obstacles found by a dry run; empty after a run. */
  obstacles: readonly PlanObstacle[];
}
