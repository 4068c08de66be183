// Takes the snapshots of a run that made no image back, from what its journal says of them alone.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../../config/config.ts';
import type { OnEvent } from '../../core/events.ts';
import type { Host } from '../../libvirt/host.ts';
import type { Journal } from '../../run/journal/journal.ts';
import { leaveOverlays } from './leave-overlays.ts';
import type { PlannedVolume, SnapshotMeans } from './volume-plan.ts';

/** What the journal's point `volumes` says: all that a roll-back needs. */
export interface VolumesPoint {
  means: SnapshotMeans;
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
  onRemark: (remark: string) => void;
  signal: AbortSignal;
}

/** By then libvirt has begun whatever a dead client asked it for. */
const IN_FLIGHT_MS = 1000;

/**
 * Safe to run twice, and where nothing was begun.
 * @throws PublishError CHAIN, CHAIN_IN_USE, VOLUMES, DOMAIN_BUSY, NO_SPACE where the domain must stay
 * in its overlays for now; what libvirt says, where a snapshot could not be taken back.
 */
export async function rollBackVolumes(run: RollBack): Promise<void> {
  if (run.point.means === 'volume') await removeVolumes(run);
  else await leaveOverlays(run);
}

/** The volumes that the domain has go on as they are; what they held before goes. */
async function removeVolumes({ host, point: { volumes } }: RollBack): Promise<void> {
  const { storage } = await host.work();
  const remove = async () => {
    for (const { pool, snapshot } of volumes) await storage.deleteVolume(pool, snapshot);
  };
  await remove();
  await sleep(IN_FLIGHT_MS);
  await remove();
}
