// A table that fits a terminal: columns are narrowed, then left out, the least important first. Pure.
import { type Column, cutTo, formatTable, widthOf } from './table.ts';

export interface FitColumn extends Column {
  /** The column with the highest value is left out first; `undefined` for a column that always stays. */
  rank?: number;
  /** Width that it may be cut to; `undefined` if its cells are never cut. */
  min?: number;
}

/** Between two columns. */
const GAP = 2;

/**
 * Formats the table in no more than `width` columns of a terminal, if that can be: what is cut ends
 * in `…`, and what does not fit at its least width is left out.
 */
export function fitTable(
  columns: readonly FitColumn[],
  rows: readonly (readonly string[])[],
  width: number,
): string {
  const full = columns.map(({ title }, at) =>
    Math.max(widthOf(title), ...rows.map((row) => widthOf(row[at] ?? ''))),
  );
  const least = columns.map(({ title, min }, at) => {
    const whole = full[at] ?? 0;
    return min === undefined ? whole : Math.min(whole, Math.max(min, widthOf(title)));
  });
  const kept = keptColumns(columns, least, width);
  let spare = width - totalOf(kept.map((at) => least[at] ?? 0));
  const widths = kept.map((at) => {
    const more = Math.max(0, Math.min(spare, (full[at] ?? 0) - (least[at] ?? 0)));
    spare -= more;
    return (least[at] ?? 0) + more;
  });
  const cells = (row: readonly string[]) =>
    kept.map((at, index) => cutTo(row[at] ?? '', widths[index] ?? 0));
  return formatTable(
    kept.flatMap((at) => columns[at] ?? []),
    rows.map(cells),
  );
}

function keptColumns(
  columns: readonly FitColumn[],
  least: readonly number[],
  width: number,
): number[] {
  let kept = columns.map((_, at) => at);
  while (totalOf(kept.map((at) => least[at] ?? 0)) > width) {
    const ranked = kept.filter((at) => columns[at]?.rank !== undefined);
    const rankOf = (at: number) => columns[at]?.rank ?? 0;
    const [first] = ranked.sort((a, b) => rankOf(b) - rankOf(a));
    if (first === undefined) break;
    kept = kept.filter((at) => at !== first);
  }
  return kept;
}

function totalOf(widths: readonly number[]): number {
  return widths.reduce((sum, width) => sum + width, 0) + GAP * Math.max(0, widths.length - 1);
}
