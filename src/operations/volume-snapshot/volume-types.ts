// What goes into a snapshot of a domain's volumes and what comes out of it.
import type { VolumePlan } from '../../capture/volumes/volume-plan.ts';
import type { PublishedImage } from '../../publish/finish.ts';
import type { SnapshotOptions } from '../snapshot/snapshot-types.ts';

/** Anything left out comes from the configuration. */
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

export interface VolumeSnapshotResult extends PublishedImage {
  plan: VolumePlan;
}
