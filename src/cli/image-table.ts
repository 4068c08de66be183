// Images as rows: a table for people, CSV for spreadsheets and scripts.
import type { ImageRecord } from '../registry/image.ts';
import { dataSize } from '../registry/image-objects.ts';
import { formatBytes, formatDate, printable } from './format.ts';
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
    printable(image.name),
    image.status,
    image.disk_format,
    size(dataSize(image) ?? image.size),
    size(virtualSize(image)),
    formatDate(image.created_at),
    printable(image.tags.join(', ')),
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

/** RFC 4180, sizes in bytes; tags with spaces between, properties as one JSON object. */
export function imageCsv(images: readonly ImageRecord[]): string {
  const rows = images.map((image) => [
    ...FIELDS.map((field) => String(image[field] ?? '')),
    image.tags.join(' '),
    JSON.stringify(image.properties),
  ]);
  return [[...FIELDS, 'tags', 'properties'], ...rows].map(csvLine).join('\r\n');
}

function csvLine(cells: readonly string[]): string {
  return cells
    .map((cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell))
    .join(',');
}
