// Takes the snapshots of a run that made no image back, from what its journal says of them alone.
import { setTimeout as sleep } from 'node:timers/promises';
import { leaveOverlays } from './leave-overlays.ts';
import type { RollBack } from './rollback-request.ts';

/** By then libvirt has begun whatever a dead client asked it for. */
const IN_FLIGHT_MS = 1000;

/**
 * Safe to run twice, and where nothing was begun.
 * @throws PublishError CHAIN, CHAIN_IN_USE, VOLUMES, DOMAIN_BUSY, NO_SPACE where the domain must stay
 * in its overlays for now; what libvirt says, where a snapshot could not be taken back.
 */
export async function rollBackVolumes(run: RollBack): Promise<void> {
  if (run.point.kind === 'volume') await removeVolumes(run);
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
