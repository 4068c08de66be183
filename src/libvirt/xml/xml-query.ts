// Values in an XML tree, found by short paths. Pure.
import type { XmlElement } from './xml-tree.ts';

/**
 * All values at `query`, in the order of the XML: `os/kernel` is text, `disk/source@file` an attribute.
 * A step is a name or `*`, with `[attribute=value]` behind it; after `//` it may be at any depth.
 */
export function valuesAt(root: XmlElement, query: string): string[] {
  const [path = '', attribute] = query.split('@');
  const values = elementsAt(root, path).map((element) =>
    attribute === undefined ? element.text() : (element.attribute(attribute) ?? ''),
  );
  return values.filter((value) => value !== '');
}

/** All elements at `path`, as in `valuesAt`. */
export function elementsAt(root: XmlElement, path: string): XmlElement[] {
  let found = [root];
  let isDeep = false;
  for (const step of path.split('/')) {
    if (step === '') {
      isDeep = true;
      continue;
    }
    const candidates = found.flatMap((element) => (isDeep ? below(element) : element.children()));
    found = candidates.filter((element) => matches(element, step));
    isDeep = false;
  }
  return found;
}

function below(element: XmlElement): XmlElement[] {
  return element.children().flatMap((child) => [child, ...below(child)]);
}

function matches(element: XmlElement, step: string): boolean {
  const [, name = '', attribute, value] = /^([\w*-]+)(?:\[([\w-]+)=([\w-]+)\])?$/.exec(step) ?? [];
  if (name !== '*' && element.name !== name) return false;
  return attribute === undefined || element.attribute(attribute) === value;
}
