// Compares a domain with the inspection that its capture was planned for, before the first act and after.
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
 * Inspects the domain again and returns the newer facts that may differ (stored XML, power state,
 * autostart).
 *
 * NOTE: between the inspection and the first act lies a write to a registry, which may be slow. If a
 * backup tool makes an external snapshot meanwhile, the planned delta has the wrong backing file.
 * @throws PublishError DOMAIN_BUSY (retryable) if a fact of the plan has changed, or a block job runs
 * on a disk to be taken.
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
  if (chosen.join() !== planned.join()) throw changed(inspection, 'its disks changed');
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

/** The facts that the plan depends on. */
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
 * Compares the layers that a start from the managed save would open with those of the plan.
 *
 * NOTE: the XML in a save image has no chain that libvirt read from the files' headers (9.0).
 * @throws PublishError DOMAIN_BUSY (retryable) if they differ.
 */
export async function checkSavedLayers({ host, domain, inspection }: Look): Promise<void> {
  const saved = parseDomainXml(await domain.managedSaveGetXMLDesc());
  compareLayers(inspection, (await placeVolumes(await host.work(), saved)).disks);
}

/** Returns the stored XML of this moment, with its passwords. */
export function readStoredXml(domain: Look['domain']): Promise<string> {
  return domain.getXMLDesc(VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
}

function compareLayers(inspection: Inspection, disks: readonly DiskDescription[]): void {
  for (const { disk } of inspection.disks) {
    const before = inspection.description.disks.find(({ target }) => target === disk.target);
    const now = disks.find(({ target }) => target === disk.target);
    if (before && now && isSame(before, now)) continue;
    throw changed(inspection, `disk ${disk.target} has other layers`);
  }
}

/** If the XML has no chain, only the active layers are compared. */
function isSame(before: DiskDescription, now: DiskDescription): boolean {
  const hasChain = now.backingChainKnown || now.backingChain.length > 0;
  const { backingChain } = hasChain ? before : now;
  return layersOf({ ...before, backingChain }) === layersOf(now);
}

/** The facts that decide which bytes the guest sees, without libvirt's indexes and jobs. */
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

/** Returns the error for a domain that another client changed between a check and the act. */
export function changed({ name }: Pick<Inspection, 'name'>, what: string): PublishError {
  return new PublishError(
    'DOMAIN_BUSY',
    `another client changed domain ${name} (${what}), so nothing is published`,
    { step: 'inspect', retryable: true, hint: 'run it again' },
  );
}
