// Finds values in an XML tree by short paths. Pure.
import type { XmlElement } from './xml-tree.ts';

/**
 * Returns all values at `query`, in document order: `os/kernel` is text, `disk/source@file` an attribute.
 * A step is a name or `*`, optionally with `[attribute=value]`; after `//` it may be at any depth.
 */
export function valuesAt(root: XmlElement, query: string): string[] {
  const [path = '', attribute] = query.split('@');
  const values = elementsAt(root, path).map((element) =>
    attribute === undefined ? element.text() : (element.attribute(attribute) ?? ''),
  );
  return values.filter((value) => value !== '');
}

/** Returns all elements at `path`, in the syntax of `valuesAt`. */
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
