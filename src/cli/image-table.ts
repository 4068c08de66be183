// Images as rows: a table for people, CSV for spreadsheets and scripts.

import { printable, printableJson } from '../printable.ts';
import type { ImageRecord } from '../registry/image.ts';
import { dataSize } from '../registry/image-objects.ts';
import { formatBytes, formatDate } from './format.ts';
import { formatTable } from './table.ts';

const COLUMNS = [
  { title: 'ID' },
  { title: 'NAME' },
  { title: 'STATUS' },
  { title: 'FORMAT' },
  { title: 'SIZE', align: 'right' as const },
  { title: 'VIRTUAL', align: 'right' as const },
  { title: 'CREATED' },
  { title: 'TAGS' },
];

export function imageTable(images: readonly ImageRecord[]): string {
  const size = (bytes: number | null) => (bytes === null ? '-' : formatBytes(bytes));
  const rows = images.map((image) => [
    image.id,
    image.name,
    image.status,
    image.disk_format,
    size(dataSize(image) ?? image.size),
    size(virtualSize(image)),
    formatDate(image.created_at),
    image.tags.join(', '),
  ]);
  return formatTable(COLUMNS, rows);
}

/** Of all disks together. */
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
      // Where a comma is the decimal sign, spreadsheets take a semicolon for the separator.
      .map((cell) => (/[",;]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell))
      .join(',')
  );
}

/** NOTE: spreadsheets evaluate cells that begin so, in full-width letters too, and ignore spaces before them. */
function harmless(cell: string): string {
  return /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]/.test(cell) ? `'${cell}` : cell;
}
