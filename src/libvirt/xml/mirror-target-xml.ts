// The XML of the target of virDomainBlockCopy. Pure.
import { writeXml, type XmlOutput } from './xml-tree.ts';

/**
 * Returns the XML of a qcow2 file. NOTE: without the driver type libvirt treats the file as raw.
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
