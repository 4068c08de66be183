// Reads the keys of a ListObjectsV2 answer straight from its text. Pure.

/** One key, in the SDK's names. */
export interface ScannedObject {
  Key: string;
  Size: number;
  ETag: string | undefined;
  LastModified: Date | undefined;
}

export interface ScannedList {
  objects: ScannedObject[];
  /** The answer without the elements that were read. */
  rest: string;
}

/**
 * Returns the objects of a page and what is left of the answer; `undefined` if the text is not
 * exactly of the expected form. The SDK's parser then reads the whole.
 */
export function scanList(text: string): ScannedList | undefined {
  if (!/<ListBucketResult[\s>]/.test(text.slice(0, 500))) return undefined;
  if (text.includes('<!')) return undefined;
  const [head = '', ...pieces] = text.split('<Contents>');
  const objects: ScannedObject[] = [];
  let rest = head;
  for (const piece of pieces) {
    const end = piece.indexOf(CONTENTS_END);
    const object = end === -1 ? undefined : scanObject(piece.slice(0, end));
    if (object === undefined) return undefined;
    objects.push(object);
    rest += piece.slice(end + CONTENTS_END.length);
  }
  return { objects, rest };
}

const CONTENTS_END = '</Contents>';

function scanObject(text: string): ScannedObject | undefined {
  const key = elementText(text, 'Key');
  const size = elementText(text, 'Size');
  if (key === undefined || size === undefined || !/^\d{1,15}$/.test(size)) return undefined;
  const time = elementText(text, 'LastModified');
  const LastModified = time === undefined ? undefined : new Date(time);
  if (LastModified !== undefined && Number.isNaN(LastModified.getTime())) return undefined;
  return { Key: key, Size: Number(size), ETag: elementText(text, 'ETag'), LastModified };
}

/** Returns the text of the first element of that name, unescaped. */
function elementText(text: string, name: string): string | undefined {
  const start = text.indexOf(`<${name}>`);
  const end = start === -1 ? -1 : text.indexOf(`</${name}>`, start);
  return end === -1 ? undefined : unescapeXml(text.slice(start + name.length + 2, end));
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
};

const MAX_CODE_POINT = 0x10ffff;

function unescapeXml(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) => {
    if (name !== undefined) return ENTITIES[name] ?? whole;
    const code = Number.parseInt(hex ?? decimal, hex === undefined ? 10 : 16);
    return code > MAX_CODE_POINT ? whole : String.fromCodePoint(code);
  });
}
