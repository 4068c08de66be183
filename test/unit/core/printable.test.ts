// Foreign text in all that is printed: tables, CSV, JSON, errors, shell commands.
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { failureText } from '#built/cli/failure.js';
import { formatChain } from '#built/cli/views/chain-view.js';
import { imageCsv, imageTable } from '#built/cli/views/image-table.js';
import { styleFor } from '#built/cli/views/style.js';
import { formatPairs, formatTable } from '#built/cli/views/table.js';
import { PublishError } from '#built/core/errors.js';
import { printable, printableJson } from '#built/core/printable.js';
import { shellQuote } from '#built/core/shell-quote.js';
import { activeRecord } from '../registry/record.ts';

/** One of each kind, and how it is shown. */
const HOSTILE: readonly (readonly [string, string, string])[] = [
  ['an escape sequence', '\u001b[2J', '\\u001b[2J'],
  ['a line break', '\r\n', '\\u000d\\u000a'],
  ['DEL', '\u007f', '\\u007f'],
  ['a C1 control sequence', '\u009b31m', '\\u009b31m'],
  ['the C1 next line', '\u0085', '\\u0085'],
  ['a right-to-left override', '\u202e', '\\u202e'],
  ['an isolate', '\u2066', '\\u2066'],
  ['a zero-width space', '\u200b', '\\u200b'],
  ['a word joiner', '\u2060', '\\u2060'],
  ['a byte order mark', '\ufeff', '\\ufeff'],
  ['a line separator', '\u2028', '\\u2028'],
  ['a soft hyphen', '\u00ad', '\\u00ad'],
  ['a filler that is drawn as nothing', '\u3164', '\\u3164'],
  ['a tag character', '\u{e0041}', '\\udb40\\udc41'],
  ['a lone surrogate', '\ud800', '\\ud800'],
];
const ALL = HOSTILE.map(([, text]) => text).join('x');
const UNSAFE = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}\u3164]/u;

describe('printable', () => {
  for (const [what, text, shown] of HOSTILE)
    it(`escapes ${what}`, () => expect(printable(`a${text}b`)).toBe(`a${shown}b`));

  it('keeps letters of all scripts, combining marks and emoji', () => {
    const text = 'ünïcode e\u0301 ☃ 東京 עברית العربية ❤\ufe0f 𝕏';
    expect(printable(text)).toBe(text);
  });

  it('changes nothing the second time', () => {
    expect(printable(printable(ALL))).toBe(printable(ALL));
  });
});

describe('printableJson', () => {
  it('parses to the same value and has no unprintable character', () => {
    const value = { [ALL]: [ALL, { nested: ALL }], number: 1, none: null };
    const text = printableJson(value);
    expect(JSON.parse(text)).toEqual(value);
    expect(printable(text)).toBe(text);
  });
});

describe('tables, pairs and views', () => {
  it('escape the text of their cells', () => {
    const columns = [{ title: 'NAME' }];
    expect(formatTable(columns, [[ALL]])).not.toMatch(UNSAFE);
    expect(formatTable(columns, [[ALL]]).split('\n')).toHaveLength(2);
    expect(formatPairs([[ALL, ALL]])).not.toMatch(UNSAFE);
    expect(formatPairs([[ALL, ALL]]).split('\n')).toHaveLength(1);
  });

  it('`chain show` escapes the formats, paths and snapshots of a file', () => {
    const layer = { path: ALL, format: ALL, virtualSize: 1, actualSize: 1, snapshots: [ALL] };
    const text = formatChain({
      domain: { name: ALL, uuid: 'u', state: 'running' },
      disk: { target: 'vda', bus: 'virtio' },
      layers: [layer, layer],
      obstacle: ALL,
    });
    expect(text).not.toMatch(UNSAFE);
    expect(text.split('\n')).toHaveLength(5);
  });

  it('an error shows its message, causes and undo failures escaped', () => {
    const error = new PublishError('LIBVIRT', ALL, {
      cause: new Error(`cause ${ALL}`),
      undoFailures: [new Error(`undo ${ALL}`)],
      recoveryCommand: `virsh define ${shellQuote(ALL)}`,
    });
    expect(failureText(error, styleFor({ isTTY: false }))).not.toMatch(UNSAFE);
  });
});

describe('lists of images', () => {
  const image = (name: string) => ({ ...activeRecord(), name, tags: [name], owner: name });

  it('have one line for each image, whatever its name', () => {
    expect(
      imageTable([image(ALL)], {
        columns: ['id', 'name', 'tags'],
        idLength: 8,
        aliases: new Map(),
      }),
    ).not.toMatch(UNSAFE);
    const csv = imageCsv([{ ...image(ALL), properties: { [ALL]: ALL } }]).split('\r\n');
    expect(csv).toHaveLength(2);
    expect(csv.join()).not.toMatch(UNSAFE);
  });

  for (const start of ['=', '+', '-', '@', ' =', '＝'])
    it(`CSV: a cell that begins with ${JSON.stringify(start)} is no formula`, () => {
      const row = imageCsv([image(`${start}cmd|calc`)]).split('\r\n')[1] ?? '';
      expect(row.split(',')[1]).toBe(`'${start}cmd|calc`);
    });

  it('CSV: a semicolon, which separates cells in some locales, is quoted', () => {
    expect(imageCsv([image('a;=b')])).toContain(',"a;=b",');
  });
});

describe('shellQuote', () => {
  it('gives the shell the same word, without unprintable characters', () => {
    const word = `it's \\ ${ALL.replace('\ud800', '')}`;
    const quoted = shellQuote(word);
    expect(quoted).not.toMatch(UNSAFE);
    const { stdout } = spawnSync('bash', ['-c', `printf %s ${quoted}`], { encoding: 'utf8' });
    expect(stdout).toBe(word);
  });
});
