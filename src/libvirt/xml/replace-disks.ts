// The XML of a domain with some of its disks taken from another XML of it. Pure.
import { parseXml, type XmlElement } from './xml-tree.ts';

/**
 * `xml` with each `<disk>` whose target is in `targets` as `source` has it; a disk that `source`
 * does not have stays.
 * @throws Error if either is not the XML of a domain; the message holds nothing of it.
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
