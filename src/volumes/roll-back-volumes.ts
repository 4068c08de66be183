// Takes the snapshots of a run that made no image back, from what its journal says of them alone.
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PublishError } from '../errors.ts';
import {
  VIR_DOMAIN_BLOCK_COMMIT_ACTIVE,
  VIR_DOMAIN_BLOCK_COMMIT_SHALLOW,
  VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT,
  VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY,
  VIR_DOMAIN_XML_INACTIVE,
} from '../libvirt/constants.ts';
import type { Domain } from '../libvirt/domain.ts';
import { type DiskDescription, parseDomainXml } from '../libvirt/domain-xml.ts';
import type { Host } from '../libvirt/host.ts';
import { pollUntil } from '../poll.ts';
import type { PlannedVolume, SnapshotMeans } from '../volume-types.ts';

/** Point of the journal before the first snapshot; its data is what a roll-back needs. */
export const VOLUMES_POINT = 'volumes';

export interface VolumesPoint {
  means: SnapshotMeans;
  /** Name of the domain's snapshot, where it goes on in overlays. */
  mark: string;
  volumes: readonly PlannedVolume[];
  aliases: readonly string[];
}

/** By then libvirt has begun whatever a dead client asked it for. */
const IN_FLIGHT_MS = 1000;
const COMMIT_MS = 10 * 60_000;
const SETTLE_MS = 10_000;

/**
 * Safe to run twice, and where nothing was begun. Resolves to what had to be left, in words.
 * @throws what libvirt says, where a snapshot could not be taken back.
 */
export async function rollBackVolumes(
  host: Host,
  { uuid }: { uuid: string },
  point: VolumesPoint,
): Promise<string | undefined> {
  if (point.means === 'volume') return removeVolumes(host, point);
  let domain = await host.domain(uuid);
  if (domain && !(await usesOverlays(domain, point))) {
    await sleep(IN_FLIGHT_MS);
    domain = await host.domain(uuid);
  }
  return domain ? leaveOverlays(host, domain, point) : undefined;
}

/** The volumes that the domain has go on as they are; what they held before goes. */
async function removeVolumes(host: Host, { volumes }: VolumesPoint): Promise<undefined> {
  const { storage } = await host.work();
  const remove = async () => {
    for (const { pool, snapshot } of volumes) await storage.deleteVolume(pool, snapshot);
  };
  await remove();
  await sleep(IN_FLIGHT_MS);
  await remove();
}

/**
 * NOTE: what the guest has written since goes down into the volume that was frozen, and the guest
 * goes on in that; an overlay holds the guest's newest data, and is removed only when nothing of the
 * domain names it any more.
 */
async function leaveOverlays(
  host: Host,
  domain: Domain,
  point: VolumesPoint,
): Promise<string | undefined> {
  const left: string[] = [];
  for (const { target, overlay } of point.volumes) {
    if (overlay !== null && !(await leaveOverlay(domain, target, overlay))) left.push(overlay);
  }
  if (left.length > 0) {
    return `domain ${domain.name} goes on in ${left.join(', ')}, which no image needs; where it runs and nothing else was put on top, virt-publish chain commit shortens the chain`;
  }
  const snapshots = await domain.listSnapshots();
  if (snapshots.some(({ name }) => name === point.mark)) {
    await domain.snapshotDelete(point.mark, VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY);
  }
  const { storage } = await host.work();
  for (const { pool, overlay } of point.volumes) {
    if (overlay === null) continue;
    await storage.refreshPool(pool);
    await refuseNamed(domain, overlay);
    await storage.deleteVolume(pool, basename(overlay));
  }
  return undefined;
}

/**
 * NOTE: a snapshot that a dead client asked for may have come to its end just now, while libvirt was
 * asked to forget it: the guest runs in the overlay from then on.
 */
async function refuseNamed(domain: Domain, overlay: string): Promise<void> {
  if (!(await isNamed(domain, overlay))) return;
  throw new PublishError(
    'VOLUMES',
    `domain ${domain.name} goes on in ${overlay} since a moment ago; nothing was removed`,
    { step: 'roll back', retryable: true },
  );
}

/** False where the domain must stay in it: it is off, or something was put on top. */
async function leaveOverlay(domain: Domain, target: string, overlay: string): Promise<boolean> {
  if (!(await isNamed(domain, overlay))) return true;
  const disk = (await domain.isActive()) ? await liveDisk(domain, target) : undefined;
  if (disk?.source !== overlay) return false;
  if (disk.mirror === null) {
    const flags = VIR_DOMAIN_BLOCK_COMMIT_ACTIVE | VIR_DOMAIN_BLOCK_COMMIT_SHALLOW;
    await domain.blockCommit(target, { base: null, top: null }, 0, flags);
  }
  const isReady = async () => {
    const mirror = (await liveDisk(domain, target))?.mirror;
    // A commit that failed, as for no space, vanishes.
    if (!mirror) throw new Error(`the commit of ${overlay} into the volume below it has failed`);
    return mirror.job === 'active-commit' && mirror.ready === 'yes';
  };
  if (!(await pollUntil(isReady, { timeoutMs: COMMIT_MS, pollMs: 200 })))
    throw new Error(`the commit of ${overlay} was not ready after ${COMMIT_MS / 60_000} min`);
  await domain.blockJobAbort(target, VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT);
  const isLeft = async () => !(await isNamed(domain, overlay));
  if (await pollUntil(isLeft, { timeoutMs: SETTLE_MS, pollMs: 200 })) return true;
  throw new Error(`domain ${domain.name} still names ${overlay} after the pivot`);
}

async function usesOverlays(domain: Domain, { volumes }: VolumesPoint): Promise<boolean> {
  for (const { overlay } of volumes) {
    if (overlay !== null && (await isNamed(domain, overlay))) return true;
  }
  return false;
}

/** In any layer of any disk, as it runs and as it is defined. */
async function isNamed(domain: Domain, path: string): Promise<boolean> {
  const xmls = [await domain.getXMLDesc(0), await domain.getXMLDesc(VIR_DOMAIN_XML_INACTIVE)];
  return xmls.some((xml) =>
    parseDomainXml(xml).disks.some(
      ({ source, backingChain }) =>
        source === path || backingChain.some((layer) => layer.path === path),
    ),
  );
}

async function liveDisk(domain: Domain, target: string): Promise<DiskDescription | undefined> {
  const { disks } = parseDomainXml(await domain.getXMLDesc(0));
  return disks.find((disk) => disk.target === target);
}
