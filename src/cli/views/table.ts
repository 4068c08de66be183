// Columns that align in any script; the only importer of string-width.
import stringWidth from 'string-width';
import { printable } from '../../core/printable.ts';

export interface Column {
  title: string;
  align?: 'right';
}

/**
 * Rows below their titles, two spaces between columns, none at the end of a line. Unprintable
 * characters of the cells are escaped.
 */
export function formatTable(
  columns: readonly Column[],
  foreignRows: readonly (readonly string[])[],
): string {
  const rows = foreignRows.map((row) => row.map(printable));
  const titles = columns.map((column) => column.title);
  const widths = titles.map((title, index) =>
    rows.reduce((most, row) => Math.max(most, widthOf(row[index] ?? '')), widthOf(title)),
  );
  const line = (cells: readonly string[]) =>
    columns
      .map(({ align }, index) => pad(cells[index] ?? '', widths[index] ?? 0, align))
      .join('  ')
      .trimEnd();
  return [titles, ...rows].map(line).join('\n');
}

/** NOTE: the library takes each text apart into graphemes, which the plain ones of a long list need not be. */
export function widthOf(text: string): number {
  return /^[\x20-\x7e]*$/.test(text) ? text.length : stringWidth(text);
}

/**
 * `Name  value` lines, with the values below each other. Unprintable characters are escaped.
 */
export function formatPairs(foreignPairs: readonly (readonly [string, string])[]): string {
  const pairs = foreignPairs.map(([name, value]) => [printable(name), printable(value)] as const);
  const width = Math.max(0, ...pairs.map(([name]) => widthOf(name)));
  return pairs.map(([name, value]) => `${pad(name, width)}  ${value}`.trimEnd()).join('\n');
}

/** The text, cut so that it takes no more than `width` columns of a terminal. */
export function cutTo(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let kept = '';
  for (const character of text) {
    if (stringWidth(kept + character) > width - 1) break;
    kept += character;
  }
  return `${kept}…`;
}

export function pad(text: string, width: number, align?: 'right'): string {
  const fill = ' '.repeat(Math.max(0, width - widthOf(text)));
  return align === 'right' ? fill + text : text + fill;
}
