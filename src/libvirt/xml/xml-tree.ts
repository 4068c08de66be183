// An XML tree: values are decoded when they are read, elements can be serialized unchanged. The only importer of fast-xml-parser.
import { XMLBuilder, XMLParser, XMLValidator } from 'fast-xml-parser';

// NOTE: parser and builder keep entities unexpanded, so that serialized elements are identical to the
// input. Values are decoded here, when they are read. Numbers
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
  // Users choose these element names, and the parser rejects some ("constructor").
  stopNodes: [
    'domain.metadata',
    'domainsnapshot.domain.metadata',
    'domainsnapshot.inactiveDomain.metadata',
  ],
});
const exact = new XMLBuilder({ ...OPTIONS, suppressEmptyNode: true });
const pretty = new XMLBuilder({ ...OPTIONS, suppressEmptyNode: true, format: true });

const ATTRIBUTES = ':@';
/** One node in the form of fast-xml-parser: one key with the children, one with the attributes. */
type RawNode = Record<string, unknown>;

export class XmlElement {
  readonly name: string;
  readonly #raw: RawNode;

  constructor(raw: RawNode) {
    this.#raw = raw;
    this.name = Object.keys(raw).find((key) => key !== ATTRIBUTES) ?? '';
  }

  /** Returns the attribute's value; null if there is none. */
  attribute(name: string): string | null {
    const attributes = this.#raw[ATTRIBUTES];
    if (!isRecord(attributes) || !Object.hasOwn(attributes, name)) return null;
    return decodeEntities(String(attributes[name]));
  }

  attributeNames(): string[] {
    const attributes = this.#raw[ATTRIBUTES];
    return isRecord(attributes) ? Object.keys(attributes) : [];
  }

  /** Returns the child elements; only those of `name` if it is given. */
  children(name?: string): XmlElement[] {
    return this.#nodes()
      .map((node) => new XmlElement(node))
      .filter(
        (child) => !child.name.startsWith('#') && (name === undefined || child.name === name),
      );
  }

  /** Returns the first child of that name; further names descend: `find('os', 'loader')`. */
  find(...path: string[]): XmlElement | undefined {
    const [name, ...rest] = path;
    const child = name === undefined ? this : this.children(name)[0];
    return rest.length === 0 || child === undefined ? child : child.find(...rest);
  }

  /** Returns the text of the element, trimmed; '' if there is none. */
  text(): string {
    const parts = this.#nodes().map((node) => {
      if (typeof node['#text'] === 'string') return decodeEntities(node['#text']);
      const cdata = node['#cdata'];
      return Array.isArray(cdata) && isRecord(cdata[0]) ? String(cdata[0]['#text']) : '';
    });
    return parts.join('').trim();
  }

  /** Returns the element's XML; only the quotes of attributes may differ from the input. */
  toXml(): string {
    return exact.build([this.#raw]);
  }

  /**
   * `toXml` with each grandchild `parent`/`name` replaced by the result of `replace`;
   * undefined keeps it.
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
 * Returns the root element.
 * @throws Error with line and column (never the text, which may hold secrets) if it is not XML
 */
export function parseXml(xml: string): XmlElement {
  const validity = XMLValidator.validate(xml);
  if (validity !== true) {
    throw new Error(`malformed XML at line ${validity.err.line}, column ${validity.err.col}`);
  }
  // libvirt never writes a DOCTYPE, and entities defined in it would not be expanded.
  if (/<!DOCTYPE/i.test(xml)) throw new Error('XML with a DOCTYPE is not supported');
  const nodes: RawNode[] = parser.parse(xml);
  const root = nodes.map((node) => new XmlElement(node)).find(({ name }) => !name.startsWith('#'));
  if (root === undefined) throw new Error('the XML has no root element');
  return root;
}

/** An element to serialize: with text or children, never both. */
export interface XmlOutput {
  name: string;
  attributes: Readonly<Record<string, string>>;
  children: readonly XmlOutput[];
  text: string;
}

/** Returns indented XML, with all values escaped. */
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
      // A parser would turn these into plain spaces if they were not escaped in an attribute.
      .replace(/[\t\n\r]/g, (space) => `&#${space.charCodeAt(0)};`)
  );
}

function isRecord(value: unknown): value is RawNode {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
