// As which user QEMU runs, and whether libvirt hands files to it, as the live XML of a domain says. Pure.
import { parseXml, type XmlElement } from './xml-tree.ts';

export interface DacLabel {
  /** Undefined if the XML does not say it in numbers. */
  label: { uid: number; gid: number; groups: readonly number[] } | undefined;
  /** False if libvirt leaves files of the domain, or of one of its disks, as they are. */
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

/** One without a model counts for every security driver. */
function isDac(label: XmlElement): boolean {
  return (label.attribute('model') ?? 'dac') === 'dac';
}

function isExempt(label: XmlElement): boolean {
  return label.attribute('type') === 'none' || label.attribute('relabel') === 'no';
}
