// The options and results of a volume snapshot.
import type { VolumePlan } from '../../capture/volumes/volume-plan.ts';
import type { PublishedImage } from '../../publish/finish.ts';
import type { SnapshotOptions } from '../snapshot/snapshot-types.ts';

/** What is taken, and how. Missing options come from the configuration. */
export type VolumeSnapshotOptions = Pick<
  SnapshotOptions,
  | 'domain'
  | 'connect'
  | 'registry'
  | 'quiesce'
  | 'name'
  | 'aliases'
  | 'tags'
  | 'properties'
  | 'visibility'
  | 'protected'
  | 'signal'
  | 'onEvent'
>;

/** A published volume snapshot. */
export interface VolumeSnapshotResult extends PublishedImage {
  plan: VolumePlan;
}
