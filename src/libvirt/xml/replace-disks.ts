// Replaces some disks in a domain's XML by those of another XML of the same domain. Pure.
import { parseXml, type XmlElement } from './xml-tree.ts';

/**
 * Returns `xml` with each `<disk>` of `targets` replaced by that of `source`; a disk that `source`
 * does not have stays unchanged.
 * @throws Error if either is not the XML of a domain; the message does not quote it
 */
export function replaceDisks(xml: string, source: string, targets: readonly string[]): string {
  const devices = parseXml(source).find('devices');
  const others = new Map(devices?.children('disk').map((disk) => [targetOf(disk), disk]));
  return parseXml(xml).toXmlWith('devices', 'disk', (disk) => {
    const target = targetOf(disk);
    return targets.includes(target) ? others.get(target) : undefined;
  });
}

function targetOf(disk: XmlElement): string {
  return disk.find('target')?.attribute('dev') ?? '';
}
