// The input of a rollback of volume snapshots, and its part in the journal.

import type { Config } from '../../config/config.ts';
import type { OnEvent } from '../../core/events.ts';
import type { Host } from '../../libvirt/host.ts';
import type { Journal } from '../../run/journal/journal.ts';
import type { PlannedVolume, VolumeSnapshotKind } from './volume-plan.ts';

/** Data of the journal's point `volumes`: all that a rollback needs. */
export interface VolumesPoint {
  kind: VolumeSnapshotKind;
  /** Name of the domain's snapshot, if it uses overlays. */
  mark: string;
  volumes: readonly PlannedVolume[];
  aliases: readonly string[];
}

export interface RollbackRequest {
  host: Host;
  domain: { name: string; uuid: string };
  runId: string;
  point: VolumesPoint;
  /** True if libvirt was asked for the snapshot and its answer is unknown. */
  mayBeInFlight: boolean;
  /** True if the run is dead, so that another client may rely on the volumes since. */
  isLate: boolean;
  /** The journal of the run, so that a later process can undo a block job of the rollback. */
  journal: Journal;
  config: Pick<Config, 'timeouts' | 'reserve'>;
  onEvent: OnEvent;
  onNote: (note: string) => void;
  signal: AbortSignal;
}
