// The XML that tells virDomainBlockCopy where to copy to. Pure.
import { writeXml, type XmlOutput } from './xml-tree.ts';

/**
 * A qcow2 file. NOTE: without the explicit driver type libvirt takes the file for raw.
 */
export function mirrorTargetXml(path: string): string {
  return writeXml(
    element('disk', { type: 'file' }, [
      element('driver', { type: 'qcow2' }),
      element('source', { file: path }),
    ]),
  );
}

function element(
  name: string,
  attributes: Record<string, string>,
  children: XmlOutput[] = [],
): XmlOutput {
  return { name, attributes, children, text: '' };
}
