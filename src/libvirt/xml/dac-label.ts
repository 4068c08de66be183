// Reads from live XML the user that QEMU runs as, and whether libvirt gives files to it. Pure.
import { parseXml, type XmlElement } from './xml-tree.ts';

export interface DacLabel {
  /** Undefined if the XML has no numeric ids. */
  label: { uid: number; gid: number; groups: readonly number[] } | undefined;
  /** False if libvirt does not change the owner of the files of the domain, or of one of its disks. */
  relabels: boolean;
}

export function parseDacLabel(xml: string): DacLabel {
  const domain = parseXml(xml);
  const own = domain.children('seclabel').filter(isDac);
  const disks = (domain.find('devices')?.children('disk') ?? []).flatMap((disk) =>
    (disk.find('source')?.children('seclabel') ?? []).filter(isDac),
  );
  const labels = own.map((label) => label.find('label')?.text() ?? '');
  const [, uid, gid] = labels.map((text) => /^\+?(\d+):\+?(\d+)$/.exec(text)).find(Boolean) ?? [];
  return {
    label: uid && gid ? { uid: Number(uid), gid: Number(gid), groups: [] } : undefined,
    relabels: ![...own, ...disks].some(isExempt),
  };
}

/** A label without a model applies to every security driver. */
function isDac(label: XmlElement): boolean {
  return (label.attribute('model') ?? 'dac') === 'dac';
}

function isExempt(label: XmlElement): boolean {
  return label.attribute('type') === 'none' || label.attribute('relabel') === 'no';
}
