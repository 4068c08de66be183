// Compares a domain with what its capture was planned for, right before the first act on it and after.
import { PublishError } from '../core/errors.ts';
import { chooseDisks } from '../domain/choose-disk.ts';
import { assertDiskIdle, type Inspection, readDomain } from '../domain/inspect.ts';
import { assertLayersOpen } from '../domain/layers-open.ts';
import { placeVolumes } from '../domain/remote-disk.ts';
import { VIR_DOMAIN_XML_INACTIVE, VIR_DOMAIN_XML_SECURE } from '../libvirt/ffi/constants.ts';
import { type DiskDescription, parseDomainXml } from '../libvirt/xml/domain-xml.ts';
import type { CaptureRun } from './capture-run.ts';

type Look = Pick<CaptureRun, 'host' | 'domain' | 'inspection'>;

/**
 * The inspection with what may change without harm (stored XML, power state, autostart) as it is now.
 *
 * NOTE: the first write to a slow registry lies between the inspection and the first act. A backup
 * tool that makes an external snapshot meanwhile leaves the plan with a delta for the wrong layer.
 * @throws PublishError DOMAIN_BUSY (retryable) if what the plan was made of is no longer so, or a
 * block job runs on a disk to be taken.
 */
export async function lookAgain(
  run: Look & Pick<CaptureRun, 'selection' | 'timeouts' | 'signal'>,
): Promise<Inspection> {
  const { domain, inspection, selection } = run;
  const found = await readDomain(domain, await optionsOf(run));
  for (const fact of DECISIVE) {
    if (found[fact] !== inspection[fact]) throw changed(inspection, WORDS[fact]);
  }
  const chosen = chooseDisks(found.description, selection).map(({ target }) => target);
  const planned = inspection.disks.map(({ disk }) => disk.target);
  if (chosen.join() !== planned.join()) throw changed(inspection, 'its disks are others');
  compareLayers(inspection, found.description.disks);
  for (const { disk } of inspection.disks) {
    const now = found.description.disks.find(({ target }) => target === disk.target);
    await assertDiskIdle(domain, { ...disk, mirror: now?.mirror ?? null }, found.active);
  }
  if (found.active) {
    await compareSizes(run);
    await assertLayersOpen(inspection, inspection.disks);
  }
  return { ...inspection, ...found };
}

async function optionsOf({
  host,
  inspection: { libvirtVersion },
  timeouts: { requestMs: timeoutMs },
  signal,
}: Look & Pick<CaptureRun, 'timeouts' | 'signal'>) {
  return { connection: await host.work(), libvirtVersion, timeoutMs, agentTimeoutMs: 0, signal };
}

/** What the plan hangs on; a difference means another plan. */
const DECISIVE = [
  'name',
  'active',
  'persistent',
  'snapshots',
  'checkpoints',
  'hasManagedSave',
] as const;

const WORDS: Readonly<Record<(typeof DECISIVE)[number], string>> = {
  name: 'it was renamed',
  active: 'it was started or switched off',
  persistent: 'it was defined or undefined',
  snapshots: 'a snapshot of it was made or deleted',
  checkpoints: 'a checkpoint of it was made or deleted',
  hasManagedSave: 'a managed save of it was made or removed',
};

/**
 * Compares the layers that the running QEMU has with those that the plan was made for.
 * @throws PublishError DOMAIN_BUSY (retryable) if they differ.
 */
export async function checkLayers({ host, domain, inspection }: Look): Promise<void> {
  const live = parseDomainXml(await domain.getXMLDesc(0));
  compareLayers(inspection, (await placeVolumes(await host.work(), live)).disks);
}

/**
 * Compares the layers that a start from the managed save gives QEMU with those of the plan.
 *
 * NOTE: the XML in a save image has no chain that libvirt found by itself, in the headers (9.0).
 * @throws PublishError DOMAIN_BUSY (retryable) if they differ.
 */
export async function checkSavedLayers({ host, domain, inspection }: Look): Promise<void> {
  const saved = parseDomainXml(await domain.managedSaveGetXMLDesc());
  compareLayers(inspection, (await placeVolumes(await host.work(), saved)).disks);
}

/** The stored XML as libvirt has it at this moment, with its passwords. */
export function readStoredXml(domain: Look['domain']): Promise<string> {
  return domain.getXMLDesc(VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
}

/** The paths of a disk's layers, the active one first; null for a layer that is no local path. */
export function pathsOf({ source, backingChain }: DiskDescription): (string | null)[] {
  return [source, ...backingChain.map(({ path }) => path)];
}

function compareLayers(inspection: Inspection, disks: readonly DiskDescription[]): void {
  for (const { disk } of inspection.disks) {
    const before = inspection.description.disks.find(({ target }) => target === disk.target);
    const now = disks.find(({ target }) => target === disk.target);
    if (before && now && isSame(before, now)) continue;
    throw changed(inspection, `disk ${disk.target} has other layers`);
  }
}

/** Of a chain that is not told only the top is compared. */
function isSame(before: DiskDescription, now: DiskDescription): boolean {
  const isTold = now.backingChainKnown || now.backingChain.length > 0;
  const { backingChain } = isTold ? before : now;
  return layersOf({ ...before, backingChain }) === layersOf(now);
}

/** Everything that says which bytes the guest sees; libvirt's own numbers and the job are not that. */
function layersOf({ type, source, remote, format, backingChain }: DiskDescription): string {
  const chain = backingChain.map((layer) => ({ ...layer, index: null }));
  return JSON.stringify({ type, source, remote: remote?.label, format, chain });
}

/** @throws PublishError DOMAIN_BUSY if a disk was resized: its delta would be too short. */
async function compareSizes({ domain, inspection }: Look): Promise<void> {
  for (const { disk, facts } of inspection.disks) {
    const { capacity } = await domain.getBlockInfo(disk.target);
    if (capacity !== facts.virtualSize) {
      throw changed(inspection, `disk ${disk.target} has another size`);
    }
  }
}

/** The error for a domain that another client changed between a look and the act that relies on it. */
export function changed({ name }: Pick<Inspection, 'name'>, what: string): PublishError {
  return new PublishError(
    'DOMAIN_BUSY',
    `domain ${name} was changed by another client meanwhile (${what}), so nothing is published; run it again`,
    { step: 'inspect', retryable: true },
  );
}
