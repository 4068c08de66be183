// What a rollback of volume snapshots gets, and what the journal knows of them.

import type { Config } from '../../config/config.ts';
import type { OnEvent } from '../../core/events.ts';
import type { Host } from '../../libvirt/host.ts';
import type { Journal } from '../../run/journal/journal.ts';
import type { PlannedVolume, VolumeSnapshotKind } from './volume-plan.ts';

/** What the journal's point `volumes` says: all that a roll-back needs. */
export interface VolumesPoint {
  kind: VolumeSnapshotKind;
  /** Name of the domain's snapshot, where it goes on in overlays. */
  mark: string;
  volumes: readonly PlannedVolume[];
  aliases: readonly string[];
}

export interface RollBack {
  host: Host;
  domain: { name: string; uuid: string };
  runId: string;
  point: VolumesPoint;
  /** libvirt was asked for the snapshot, and nobody knows what it answered. */
  mayBeInFlight: boolean;
  /** The run is dead, and nobody knows who has come to read the volumes since. */
  isLate: boolean;
  /** The run's: a block job that it begins is ended by whoever comes after it. */
  journal: Journal;
  config: Pick<Config, 'timeouts' | 'reserve'>;
  onEvent: OnEvent;
  onNote: (note: string) => void;
  signal: AbortSignal;
}
