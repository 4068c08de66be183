// The parts of a query: which images each one passes, and its name in messages. Pure.
import type { DiskFormat, Visibility } from '../../core/model.ts';
import { printable } from '../../core/printable.ts';
import type { ImageRecord, ImageStatus } from '../record/image.ts';
import { dataSize } from '../record/image-objects.ts';

export const SORT_KEYS = [
  'name',
  'status',
  'disk_format',
  'size',
  'virtual_size',
  'visibility',
  'owner',
  'id',
  'created_at',
  'updated_at',
] as const;

/** A field that images are sorted by. */
export type SortKey = (typeof SORT_KEYS)[number];

/** One key of a sort. */
export interface SortOrder {
  key: SortKey;
  descending: boolean;
}

/** Glance's filters; an image must pass each one that is set. Sizes in bytes, times in ms. */
export interface ListQuery {
  name?: string | undefined;
  /** Passes images with one of these statuses; by default all except killed and deleted ones. */
  status?: readonly ImageStatus[] | undefined;
  tags?: readonly string[] | undefined;
  properties?: Readonly<Record<string, string>> | undefined;
  visibility?: Visibility | undefined;
  owner?: string | undefined;
  diskFormat?: DiskFormat | undefined;
  /** Limits of the data's size, both included. An image without data does not pass. */
  sizeMin?: number | undefined;
  sizeMax?: number | undefined;
  /** From `after` (included) until `before` (not included). */
  createdAfter?: number | undefined;
  createdBefore?: number | undefined;
  updatedAfter?: number | undefined;
  updatedBefore?: number | undefined;
  /** True for hidden images only; otherwise hidden images do not pass, as in Glance. */
  hidden?: boolean | undefined;
  /** By default the newest first; equal images are in the order of their ids. */
  sort?: readonly SortOrder[] | undefined;
  limit?: number | undefined;
}

export interface QueryPart {
  /** For example `the tag "nginx"`. */
  what: string;
  passes(image: ImageRecord): boolean;
}

/** Returns false for hidden, killed and deleted images unless the query asks for them. */
export function isShown(image: ImageRecord, { hidden = false, status }: ListQuery): boolean {
  const isLive = image.status !== 'killed' && image.status !== 'deleted';
  return image.os_hidden === hidden && (status !== undefined || isLive);
}

/** Returns the parts of the query, one for each condition. */
export function partsOf(query: ListQuery): QueryPart[] {
  return [...fieldParts(query), ...labelParts(query), ...rangeParts(query)];
}

function fieldParts({ name, status, visibility, owner, diskFormat }: ListQuery): QueryPart[] {
  const part = (what: string, wanted: string | undefined, of: (image: ImageRecord) => unknown) =>
    wanted === undefined
      ? []
      : [{ what: `the ${what} ${quoted(wanted)}`, passes: (i: ImageRecord) => of(i) === wanted }];
  return [
    ...part('name', name, (image) => image.name),
    ...part('visibility', visibility, (image) => image.visibility),
    ...part('owner', owner, (image) => image.owner),
    ...part('format', diskFormat, (image) => image.disk_format),
    ...(status === undefined
      ? []
      : [
          {
            what: `the status ${status.join(' or ')}`,
            passes: (image: ImageRecord) => status.includes(image.status),
          },
        ]),
  ];
}

function labelParts({ tags = [], properties = {} }: ListQuery): QueryPart[] {
  return [
    ...tags.map((tag) => ({
      what: `the tag ${quoted(tag)}`,
      passes: (image: ImageRecord) => image.tags.includes(tag),
    })),
    ...Object.entries(properties).map(([key, value]) => ({
      what: `the property ${quoted(`${key}=${value}`)}`,
      passes: (image: ImageRecord) => image.properties[key] === value,
    })),
  ];
}

function rangeParts(query: ListQuery): QueryPart[] {
  const created = (image: ImageRecord) => Date.parse(image.created_at);
  const updated = (image: ImageRecord) => Date.parse(image.updated_at);
  return [
    ...from('a size of at least', query.sizeMin, sizeOf),
    ...until('a size of at most', query.sizeMax, sizeOf),
    ...from('a creation from', query.createdAfter, created, date),
    ...before('a creation before', query.createdBefore, created),
    ...from('an update from', query.updatedAfter, updated, date),
    ...before('an update before', query.updatedBefore, updated),
  ];
}

type NumberOf = (image: ImageRecord) => number | null;

function from(what: string, bound: number | undefined, of: NumberOf, shown = bytes): QueryPart[] {
  if (bound === undefined) return [];
  return [{ what: `${what} ${shown(bound)}`, passes: (image) => (of(image) ?? -1) >= bound }];
}

function until(what: string, bound: number | undefined, of: NumberOf): QueryPart[] {
  if (bound === undefined) return [];
  const passes = (image: ImageRecord) => (of(image) ?? Number.POSITIVE_INFINITY) <= bound;
  return [{ what: `${what} ${bytes(bound)}`, passes }];
}

function before(what: string, bound: number | undefined, of: NumberOf): QueryPart[] {
  if (bound === undefined) return [];
  const passes = (image: ImageRecord) => (of(image) ?? Number.POSITIVE_INFINITY) < bound;
  return [{ what: `${what} ${date(bound)}`, passes }];
}

/** Returns the size of all disks, for the table; null if there is no data. */
export function sizeOf(image: ImageRecord): number | null {
  return image.disks === undefined ? image.size : dataSize(image);
}

function bytes(count: number): string {
  return `${count} bytes`;
}

function date(ms: number): string {
  return new Date(ms).toISOString();
}

function quoted(text: string): string {
  return JSON.stringify(printable(text));
}
