// XML as a tree whose values are read on demand and whose elements can be written out again; the only importer of fast-xml-parser.
import { XMLBuilder, XMLParser, XMLValidator } from 'fast-xml-parser';

// NOTE: entities stay as they are written, in the parser and in the builder: nothing expands, and
// what is built again is what was read. Values are decoded here, where one is asked for. Numbers
// are never parsed: a domain may be called 007 or 1e5.
const OPTIONS = {
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: '',
  processEntities: false,
  commentPropName: '#comment',
  cdataPropName: '#cdata',
} as const;

const parser = new XMLParser({
  ...OPTIONS,
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: false,
  ignoreDeclaration: true,
  ignorePiTags: true,
  // What users put there is theirs, under any names; the parser refuses some ("constructor").
  stopNodes: [
    'domain.metadata',
    'domainsnapshot.domain.metadata',
    'domainsnapshot.inactiveDomain.metadata',
  ],
});
const exact = new XMLBuilder({ ...OPTIONS, suppressEmptyNode: true });
const pretty = new XMLBuilder({ ...OPTIONS, suppressEmptyNode: true, format: true });

const ATTRIBUTES = ':@';
/** One node as fast-xml-parser orders it: one key with the children, one with the attributes. */
type RawNode = Record<string, unknown>;

export class XmlElement {
  readonly name: string;
  readonly #raw: RawNode;

  constructor(raw: RawNode) {
    this.#raw = raw;
    this.name = Object.keys(raw).find((key) => key !== ATTRIBUTES) ?? '';
  }

  /** The attribute's value; null where there is none. */
  attribute(name: string): string | null {
    const attributes = this.#raw[ATTRIBUTES];
    if (!isRecord(attributes) || !Object.hasOwn(attributes, name)) return null;
    return decodeEntities(String(attributes[name]));
  }

  attributeNames(): string[] {
    const attributes = this.#raw[ATTRIBUTES];
    return isRecord(attributes) ? Object.keys(attributes) : [];
  }

  /** Child elements, those of one name where it is given. */
  children(name?: string): XmlElement[] {
    return this.#nodes()
      .map((node) => new XmlElement(node))
      .filter(
        (child) => !child.name.startsWith('#') && (name === undefined || child.name === name),
      );
  }

  /** The first child of that name; further names go deeper: `find('os', 'loader')`. */
  find(...path: string[]): XmlElement | undefined {
    const [name, ...rest] = path;
    const child = name === undefined ? this : this.children(name)[0];
    return rest.length === 0 || child === undefined ? child : child.find(...rest);
  }

  /** The text right below, with the white space around it cut off; '' where there is none. */
  text(): string {
    const parts = this.#nodes().map((node) => {
      if (typeof node['#text'] === 'string') return decodeEntities(node['#text']);
      const cdata = node['#cdata'];
      return Array.isArray(cdata) && isRecord(cdata[0]) ? String(cdata[0]['#text']) : '';
    });
    return parts.join('').trim();
  }

  /** The element as it was read; only the quotes around its attributes may differ. */
  toXml(): string {
    return exact.build([this.#raw]);
  }

  /**
   * As `toXml`, with each grandchild `parent`/`name` replaced by what `replace` gives for it;
   * undefined leaves it as it is.
   */
  toXmlWith(
    parent: string,
    name: string,
    replace: (element: XmlElement) => XmlElement | undefined,
  ): string {
    const swap = (raw: RawNode): RawNode => {
      const element = new XmlElement(raw);
      return element.name === name ? (replace(element) ?? element).#raw : raw;
    };
    const inside = (raw: RawNode): RawNode => {
      const element = new XmlElement(raw);
      return element.name === parent ? { ...raw, [parent]: element.#nodes().map(swap) } : raw;
    };
    return exact.build([{ ...this.#raw, [this.name]: this.#nodes().map(inside) }]);
  }

  #nodes(): RawNode[] {
    const nodes = this.#raw[this.name];
    return Array.isArray(nodes) ? nodes.filter(isRecord) : [];
  }
}

/**
 * The root element.
 * @throws Error with line and column (never the text, which may hold secrets) where it is no XML.
 */
export function parseXml(xml: string): XmlElement {
  const validity = XMLValidator.validate(xml);
  if (validity !== true) {
    throw new Error(`malformed XML at line ${validity.err.line}, column ${validity.err.col}`);
  }
  // libvirt never writes one, and entities defined in it would not be expanded.
  if (/<!DOCTYPE/i.test(xml)) throw new Error('XML with a DOCTYPE is refused');
  const nodes: RawNode[] = parser.parse(xml);
  const root = nodes.map((node) => new XmlElement(node)).find(({ name }) => !name.startsWith('#'));
  if (root === undefined) throw new Error('the XML has no root element');
  return root;
}

/** An element to be written: text or children below it, never both. */
export interface XmlOutput {
  name: string;
  attributes: Readonly<Record<string, string>>;
  children: readonly XmlOutput[];
  text: string;
}

/** Indented XML, with all values escaped. */
export function writeXml(element: XmlOutput): string {
  return `${String(pretty.build([toRaw(element)])).trim()}\n`;
}

function toRaw({ name, attributes, children, text }: XmlOutput): RawNode {
  const escaped = Object.entries(attributes).map(([key, value]) => [key, encodeEntities(value)]);
  const below = text === '' ? children.map(toRaw) : [{ '#text': encodeEntities(text) }];
  return { [name]: below, [ATTRIBUTES]: Object.fromEntries(escaped) };
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
};

function decodeEntities(text: string): string {
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) => {
    if (name !== undefined) return ENTITIES[name] ?? whole;
    const code = hex === undefined ? Number.parseInt(decimal, 10) : Number.parseInt(hex, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

function encodeEntities(text: string): string {
  return (
    text
      .replaceAll('&', '&amp;')
      .replaceAll('<', '&lt;')
      .replaceAll('>', '&gt;')
      .replaceAll('"', '&quot;')
      // A reader turns these into plain spaces where they stand in an attribute as they are.
      .replace(/[\t\n\r]/g, (space) => `&#${space.charCodeAt(0)};`)
  );
}

function isRecord(value: unknown): value is RawNode {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
