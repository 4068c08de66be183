// Makes a running domain transient, with all on disk and in memory that defines it again.
import { join } from 'node:path';
import {
  VIR_DOMAIN_UNDEFINE_KEEP_NVRAM,
  VIR_DOMAIN_UNDEFINE_KEEP_TPM,
} from '../libvirt/constants.ts';
import { isLibvirtError, VIR_ERR } from '../libvirt/errors.ts';
import { saveMetadata } from '../run/domain-metadata.ts';
import { liveSources, type UndefineData, undefine } from '../run/guest-acts.ts';
import { DOMAIN_XML_FILE, writeSecret } from '../run/run-folder.ts';
import type { CaptureRun } from './capture-run.ts';
import type { Inspection } from './inspect.ts';
import { changed, readStoredXml } from './look-again.ts';

/**
 * NOTE: blockRebase copies only for a transient domain ("domain is not transient").
 * @throws PublishError DOMAIN_BUSY (retryable) if another client undefined the domain first.
 */
export async function undefineDomain(run: CaptureRun): Promise<void> {
  const { domain, inspection, scope } = run;
  const data = await saveDefinition(run);
  try {
    await scope.perform(undefine, data, () => domain.undefineFlags(flagsFor(inspection)));
  } catch (error) {
    if (!isLibvirtError(error, VIR_ERR.OPERATION_INVALID)) throw error;
    await scope.settle(undefine);
    throw changed(inspection, 'it was undefined');
  }
  await saveLateChanges(run, data);
}

/** The stored XML is read last, right before the undefine. */
async function saveDefinition(run: CaptureRun) {
  const { domain, folder } = run;
  const { metadataPath, metadata } = await saveMetadataIfAny(run);
  const sources = liveSources(await domain.getXMLDesc(0));
  const autostart = await domain.getAutostart();
  const xml = await readStoredXml(domain);
  const xmlPath = join(folder.path, DOMAIN_XML_FILE);
  await writeSecret(xmlPath, xml);
  const saved = { xml, metadata };
  return { xmlPath, autostart, metadataPath, sources, saved } satisfies UndefineData;
}

/** NOTE: without KEEP_NVRAM libvirt unlinks the firmware's variables at once, though the guest runs. */
function flagsFor({ description: { nvram, firmware, tpm } }: Inspection): number {
  const keepNvram = nvram !== null || firmware === 'uefi';
  return (
    (keepNvram ? VIR_DOMAIN_UNDEFINE_KEEP_NVRAM : 0) | (tpm ? VIR_DOMAIN_UNDEFINE_KEEP_TPM : 0)
  );
}

async function saveMetadataIfAny({ domain, inspection, folder }: CaptureRun) {
  if (inspection.snapshots + inspection.checkpoints === 0) {
    return { metadataPath: null, metadata: null };
  }
  const metadataPath = join(folder.path, 'metadata.json');
  return { metadataPath, metadata: await saveMetadata(domain, metadataPath) };
}

/**
 * Announces the undefine once more if another client changed the stored XML between the read and the
 * undefine: what is announced last is defined first, and an undo leaves a persistent domain alone.
 *
 * NOTE: libvirt keeps the stored XML of a running domain readable after the undefine (9.0).
 */
async function saveLateChanges(
  { domain, folder, scope }: CaptureRun,
  data: UndefineData & Required<Pick<UndefineData, 'saved'>>,
): Promise<void> {
  const xml = await readStoredXml(domain);
  if (xml === data.saved.xml) return;
  const xmlPath = join(folder.path, `late-${DOMAIN_XML_FILE}`);
  await writeSecret(xmlPath, xml);
  const late = { ...data, xmlPath, saved: { ...data.saved, xml } };
  await scope.perform(undefine, late, () => Promise.resolve());
}
