// The act `undefine`: makes a running domain transient. Its undo defines the domain again.
import { readFile } from 'node:fs/promises';
import { shellQuote, virshDomain } from '../../core/shell-quote.ts';
import type { Domain } from '../../libvirt/domain.ts';
import { VIR_DOMAIN_XML_INACTIVE, VIR_DOMAIN_XML_SECURE } from '../../libvirt/ffi/constants.ts';
import { parseDomainXml } from '../../libvirt/xml/domain-xml.ts';
import { replaceDisks } from '../../libvirt/xml/replace-disks.ts';
import { keepSecret } from '../guard/keep-run.ts';
import type { GuestAct } from '../guest-scope.ts';
import { type DomainMetadata, readMetadata, restoreMetadata } from './domain-metadata.ts';
import { type GuestContext, virsh } from './guest-context.ts';

export interface UndefineData {
  /** The saved INACTIVE|SECURE XML. */
  xmlPath: string;
  autostart: boolean;
  /** The saved snapshot and checkpoint metadata; null if the domain has none. */
  metadataPath: string | null;
  /** `liveSources` right before the act. Missing in journals of earlier versions. */
  sources?: Record<string, string | null>;
  /** Content of the two files, in memory only: it has the domain's passwords. */
  saved?: { xml: string; metadata: DomainMetadata | null };
}

export const undefine: GuestAct<UndefineData, GuestContext> = {
  name: 'undefine',
  toJournal: ({ saved: _, ...kept }) => kept,
  async undo({ host, uuid, name, rebooted }, data) {
    const { autostart, metadataPath, saved } = data;
    const before = await host.domain(uuid);
    const isTransient = !(await before?.isPersistent());
    const moved = before && isTransient ? await movedDisks(before, data) : [];
    if (isTransient) {
      const connection = await host.work();
      await connection.defineXML(await xmlToDefine(before, data, moved));
    }
    const domain = await host.domain(uuid);
    if (domain) {
      // NOTE: an undefine removes the autostart mark. One that exists was set by another client.
      if (autostart && !(await domain.getAutostart())) await domain.setAutostart(true);
      const metadata =
        metadataPath === null ? null : (saved?.metadata ?? (await readMetadata(metadataPath)));
      if (metadata) await restoreMetadata(domain, metadata);
    }
    if (moved.length > 0) return describeMoved(name, moved);
    if (before) return undefined;
    // NOTE: libvirt starts domains with autostart when it starts itself; this one was not defined then.
    if (rebooted && autostart && domain && !(await domain.isActive())) {
      await domain.createWithFlags(0);
      return `the host was restarted; domain ${name} is defined again, and started since it has autostart`;
    }
    return `domain ${name} was switched off while it was undefined; it is defined again and stays off`;
  },
  keepFiles: async (data) => {
    const { xmlPath, metadataPath, saved } = data;
    if (!saved) return data;
    if (metadataPath !== null) await keepSecret(metadataPath, JSON.stringify(saved.metadata));
    return { ...data, xmlPath: await keepSecret(xmlPath, saved.xml) };
  },
  recoveryCommand: ({ host, ...domain }, { xmlPath, autostart }) =>
    [`${virsh(host)} define ${shellQuote(xmlPath)}`]
      .concat(autostart ? [`${virsh(host)} autostart ${virshDomain(domain)}`] : [])
      .join(' && '),
};

/** Returns the sources of the disks in live XML, by target; null for a source that is no local path. */
export function liveSources(xml: string): Record<string, string | null> {
  const disks = parseDomainXml(xml).disks.filter(({ device }) => device === 'disk');
  return Object.fromEntries(disks.map(({ target, source }) => [target, source]));
}

/**
 * Returns the disks whose file changed since the undefine: another client made a snapshot, committed,
 * or pivoted a copy. A start from the saved XML would use the old file, and lose data.
 */
async function movedDisks(domain: Domain, { sources = {} }: UndefineData): Promise<string[]> {
  if (Object.keys(sources).length === 0 || !(await domain.isActive())) return [];
  const now = liveSources(await domain.getXMLDesc(0));
  const known = Object.keys(sources).filter((target) => Object.hasOwn(now, target));
  return known.filter((target) => now[target] !== sources[target]);
}

/** NOTE: libvirt updates the stored XML of such a domain when a block job changes its disks. */
async function xmlToDefine(
  domain: Domain | undefined,
  { xmlPath, saved }: UndefineData,
  moved: readonly string[],
): Promise<string> {
  const xml = saved?.xml ?? (await readFile(xmlPath, 'utf8'));
  if (!domain || moved.length === 0) return xml;
  const now = await domain.getXMLDesc(VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
  return replaceDisks(xml, now, moved);
}

function describeMoved(name: string, moved: readonly string[]): string {
  return `another client changed the files of disk ${moved.join(', ')} of domain ${name}; the domain is defined again with the new files`;
}
