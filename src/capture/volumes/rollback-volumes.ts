// Removes the volume snapshots of a run without an image, from its journal alone.
import { setTimeout as sleep } from 'node:timers/promises';
import { commitOverlays } from './commit-overlays.ts';
import type { RollbackRequest } from './rollback-request.ts';

/** After this time libvirt has started every call of a dead client. */
const IN_FLIGHT_MS = 1000;

/**
 * Removes the snapshots. Safe to run twice, and if none was created.
 * @throws PublishError CHAIN, CHAIN_IN_USE, VOLUMES, DOMAIN_BUSY, NO_SPACE if the domain has to keep
 * its overlays for now; LibvirtError if a snapshot could not be removed
 */
export async function rollbackVolumes(run: RollbackRequest): Promise<void> {
  if (run.point.kind === 'volume') await removeVolumes(run);
  else await commitOverlays(run);
}

/** Deletes the snapshot volumes; the domain's own volumes are not touched. */
async function removeVolumes({ host, point: { volumes } }: RollbackRequest): Promise<void> {
  const { storage } = await host.work();
  const remove = async () => {
    for (const { pool, snapshot } of volumes) await storage.deleteVolume(pool, snapshot);
  };
  await remove();
  await sleep(IN_FLIGHT_MS);
  await remove();
}
