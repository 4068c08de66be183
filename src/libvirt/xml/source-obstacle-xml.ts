// What makes the bytes of a source other ones than those of its file or device. Pure.
import type { XmlElement } from './xml-tree.ts';

/**
 * Words that follow the name of a disk or layer; null if path and format say all that there is.
 * `element` has the `<source>`: a disk, or a layer of its backing chain.
 */
export function describeObstacle(element: XmlElement): string | null {
  const source = element.find('source');
  if (!source) return null;
  const [slice] = source.find('slices')?.children() ?? [];
  if (slice) {
    const place = `offset ${slice.attribute('offset') ?? '?'}, size ${slice.attribute('size') ?? '?'}`;
    return `is a slice (${place}) of its source, and only whole files and devices are read; copy the slice into a file of its own`;
  }
  if (source.find('dataStore')) {
    return 'keeps its data in another file (dataStore); convert it to a file without one';
  }
  if (source.attribute('fdgroup') !== null) {
    return 'is opened through file descriptors that libvirt was given (fdgroup), so its path does not name its data';
  }
  return null;
}
