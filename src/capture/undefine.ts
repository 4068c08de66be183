// Makes a running domain transient, after saving on disk and in memory all that defines it again.
import { join } from 'node:path';
import type { Inspection } from '../domain/inspect.ts';
import { isLibvirtError, VIR_ERR } from '../libvirt/errors.ts';
import {
  VIR_DOMAIN_UNDEFINE_KEEP_NVRAM,
  VIR_DOMAIN_UNDEFINE_KEEP_TPM,
} from '../libvirt/ffi/constants.ts';
import { saveMetadata } from '../run/acts/domain-metadata.ts';
import { liveSources, type UndefineData, undefine } from '../run/acts/guest-acts.ts';
import { DOMAIN_XML_FILE, writeSecret } from '../run/journal/run-folder.ts';
import type { CaptureRun } from './capture-run.ts';
import { changed, readStoredXml } from './look-again.ts';

/**
 * NOTE: blockRebase copies only for a transient domain ("domain is not transient").
 * @throws PublishError DOMAIN_BUSY (retryable) if another client undefined the domain first.
 */
export async function undefineDomain(run: CaptureRun): Promise<void> {
  const data = await saveDefinition(run);
  await run.scope.perform(undefine, data, async () => {
    const newest = await renewIfChanged(run, data);
    await undefineNow(run);
    await renewIfXmlChanged(run, newest);
  });
}

async function undefineNow({ domain, inspection, scope }: CaptureRun): Promise<void> {
  try {
    await domain.undefineFlags(flagsFor(inspection));
  } catch (error) {
    if (!isLibvirtError(error, VIR_ERR.OPERATION_INVALID)) throw error;
    await scope.markUndone(undefine);
    throw changed(inspection, 'it was undefined');
  }
}

type Saved = UndefineData & Required<Pick<UndefineData, 'saved'>>;

/** Saves the definition; reads the stored XML last, so that it is the newest. */
async function saveDefinition(run: CaptureRun): Promise<Saved> {
  const { domain, folder } = run;
  const { metadataPath, metadata } = await saveMetadataIfAny(run);
  const sources = liveSources(await domain.getXMLDesc(0));
  const autostart = await domain.getAutostart();
  const xml = await readStoredXml(domain);
  const xmlPath = join(folder.path, DOMAIN_XML_FILE);
  await writeSecret(xmlPath, xml);
  return { xmlPath, autostart, metadataPath, sources, saved: { xml, metadata } };
}

/** Journaling the intent takes as long as the disk needs, and another client may act meanwhile. */
async function renewIfChanged(run: CaptureRun, data: Saved): Promise<Saved> {
  const autostart = await run.domain.getAutostart();
  if (autostart === data.autostart) return data;
  const newer = { ...data, autostart };
  await run.scope.renew(undefine, newer);
  return newer;
}

/** NOTE: libvirt keeps the stored XML of a running domain readable after the undefine (9.0). */
async function renewIfXmlChanged({ domain, folder, scope }: CaptureRun, data: Saved) {
  const xml = await readStoredXml(domain);
  if (xml === data.saved.xml) return;
  const xmlPath = join(folder.path, `late-${DOMAIN_XML_FILE}`);
  await writeSecret(xmlPath, xml);
  await scope.renew(undefine, { ...data, xmlPath, saved: { ...data.saved, xml } });
}

/** NOTE: without KEEP_NVRAM libvirt unlinks the firmware's variables at once, although the guest runs. */
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
