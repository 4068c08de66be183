// Images as rows: a table for people, CSV for spreadsheets and scripts.
import { printable, printableJson } from '../../core/printable.ts';
import type { ImageRecord } from '../../registry/record/image.ts';
import { dataSize } from '../../registry/record/image-objects.ts';
import { type FitColumn, fitTable } from './fit-table.ts';
import { formatBytes, formatDate } from './format.ts';
import type { ColumnName } from './image-columns.ts';
import { formatTable } from './table.ts';

interface Row {
  image: ImageRecord;
  aliases: readonly string[];
}

interface ImageColumn extends FitColumn {
  /** Returns the text of the cell; exact values if `form` is for no terminal. */
  cell(row: Row, form: Form): string;
}

interface Form {
  idLength: number;
  exact: boolean;
}

const COLUMNS: Readonly<Record<ColumnName, ImageColumn>> = {
  id: {
    title: 'ID',
    cell: ({ image }, { exact, idLength }) => (exact ? image.id : image.id.slice(0, idLength)),
  },
  name: { title: 'NAME', min: 10, cell: ({ image }) => image.name },
  status: { title: 'STATUS', rank: 2, cell: ({ image }) => image.status },
  format: { title: 'FORMAT', rank: 6, cell: ({ image }) => image.disk_format },
  size: {
    ...{ title: 'SIZE', align: 'right', rank: 5 },
    cell: ({ image }) => size(dataSize(image) ?? image.size),
  },
  virtual: {
    ...{ title: 'VIRTUAL', align: 'right', rank: 7 },
    cell: ({ image }) => size(virtualSize(image)),
  },
  created: {
    ...{ title: 'CREATED', rank: 3 },
    cell: ({ image }, { exact }) => time(image.created_at, exact),
  },
  updated: {
    ...{ title: 'UPDATED', rank: 9 },
    cell: ({ image }, { exact }) => time(image.updated_at, exact),
  },
  aliases: { title: 'ALIASES', rank: 4, min: 10, cell: ({ aliases }) => listed(aliases) },
  visibility: { title: 'VISIBILITY', rank: 10, cell: ({ image }) => image.visibility },
  protected: {
    ...{ title: 'PROTECTED', rank: 11 },
    cell: ({ image }) => (image.protected ? 'yes' : 'no'),
  },
  owner: { title: 'OWNER', rank: 12, min: 8, cell: ({ image }) => image.owner ?? '-' },
  tags: { title: 'TAGS', rank: 8, min: 8, cell: ({ image }) => listed(image.tags) },
};

export interface TableForm {
  /** In this order. */
  columns: readonly ColumnName[];
  /** The columns were chosen: they stay on any terminal. */
  isChosen?: boolean;
  /** Width of the terminal; `undefined` for full ids, exact times, and no limit. */
  width?: number | undefined;
  idLength: number;
  /** Aliases by the id of their image. */
  aliases: ReadonlyMap<string, readonly string[]>;
}

/** Returns a table that fits the terminal, or, without one, has all of every cell. */
export function imageTable(
  images: readonly ImageRecord[],
  { columns: names, isChosen = false, width, idLength, aliases }: TableForm,
): string {
  const columns = names.map((name) => COLUMNS[name]);
  const form = { idLength, exact: width === undefined };
  const rows = images.map((image) =>
    columns.map((column) =>
      printable(column.cell({ image, aliases: aliases.get(image.id) ?? [] }, form)),
    ),
  );
  if (width === undefined) return formatTable(columns, rows);
  const ranked = isChosen ? columns.map(({ rank: _, ...column }) => column) : columns;
  return fitTable(ranked, rows, width);
}

function listed(names: readonly string[]): string {
  return names.join(', ') || '-';
}

function size(bytes: number | null): string {
  return bytes === null ? '-' : formatBytes(bytes);
}

/** Exact: `2026-11-21T07:10:07Z`. */
function time(iso: string, exact: boolean): string {
  return exact ? iso.replace(/\.\d+Z$/, 'Z') : formatDate(iso);
}

/** Returns the sum over all disks. */
function virtualSize({ disks, virtual_size }: ImageRecord): number | null {
  return disks?.reduce((sum, disk) => sum + disk.virtual_size, 0) ?? virtual_size;
}

const FIELDS = [
  'id',
  'name',
  'status',
  'visibility',
  'protected',
  'os_hidden',
  'owner',
  'disk_format',
  'size',
  'virtual_size',
  'min_disk',
  'min_ram',
  'checksum',
  'os_hash_algo',
  'os_hash_value',
  'created_at',
  'updated_at',
] as const;

/**
 * RFC 4180, sizes in bytes; tags with spaces between, properties as one JSON object. Unprintable
 * characters are escaped, and a cell that a spreadsheet would take for a formula begins with `'`.
 */
export function imageCsv(images: readonly ImageRecord[]): string {
  const rows = images.map((image) => [
    ...FIELDS.map((field) => String(image[field] ?? '')),
    image.tags.join(' '),
    printableJson(image.properties),
  ]);
  return [[...FIELDS, 'tags', 'properties'], ...rows].map(csvLine).join('\r\n');
}

function csvLine(cells: readonly string[]): string {
  return (
    cells
      .map((cell) => harmless(printable(cell)))
      // If a comma is the decimal sign, spreadsheets expect a semicolon as the separator.
      .map((cell) => (/[",;]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell))
      .join(',')
  );
}

/** NOTE: spreadsheets evaluate cells that begin so, in full-width letters too, and ignore spaces before them. */
function harmless(cell: string): string {
  return /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]/.test(cell) ? `'${cell}` : cell;
}
