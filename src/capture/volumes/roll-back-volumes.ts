// Removes the volume snapshots of a run without an image, from its journal alone.
import { setTimeout as sleep } from 'node:timers/promises';
import { leaveOverlays } from './leave-overlays.ts';
import type { RollBack } from './rollback-request.ts';

/** After this time libvirt has started every call of a dead client. */
const IN_FLIGHT_MS = 1000;

/**
 * Removes the snapshots. Safe to run twice, and if none was created.
 * @throws PublishError CHAIN, CHAIN_IN_USE, VOLUMES, DOMAIN_BUSY, NO_SPACE if the domain has to keep
 * its overlays for now; LibvirtError if a snapshot could not be removed
 */
export async function rollBackVolumes(run: RollBack): Promise<void> {
  if (run.point.kind === 'volume') await removeVolumes(run);
  else await leaveOverlays(run);
}

/** Deletes the snapshot volumes; the domain's own volumes are not touched. */
async function removeVolumes({ host, point: { volumes } }: RollBack): Promise<void> {
  const { storage } = await host.work();
  const remove = async () => {
    for (const { pool, snapshot } of volumes) await storage.deleteVolume(pool, snapshot);
  };
  await remove();
  await sleep(IN_FLIGHT_MS);
  await remove();
}
