// Detects sources whose bytes are not those of the whole file or device. Pure.
import type { XmlElement } from './xml-tree.ts';

/**
 * Returns a message that follows the name of a disk or layer; null if path and format are sufficient.
 * `element` has the `<source>`: a disk, or a layer of its backing chain.
 */
export function describeObstacle(element: XmlElement): string | null {
  const source = element.find('source');
  if (!source) return null;
  const [slice] = source.find('slices')?.children() ?? [];
  if (slice) {
    const place = `offset ${slice.attribute('offset') ?? '?'}, size ${slice.attribute('size') ?? '?'}`;
    return `is a slice (${place}) of its source, and only whole files and devices are supported`;
  }
  if (source.find('dataStore')) {
    return 'keeps its data in another file (dataStore)';
  }
  if (source.attribute('fdgroup') !== null) {
    return 'is opened through file descriptors passed to libvirt (fdgroup), so its path does not name its data';
  }
  return null;
}
