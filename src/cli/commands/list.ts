// `virt-publish list`: the images of a registry as a table, as JSON or as CSV.
import type { Command } from 'commander';
import { IMAGE_STATUSES, type ImageStatus } from '../../registry/image.ts';
import type { ListQuery } from '../../registry/list-query.ts';
import {
  DISK_FORMATS,
  type DiskFormat,
  VISIBILITIES,
  type Visibility,
} from '../../snapshot-types.ts';
import { choiceOption, collect, collectChoices, collectProperty, wholeNumber } from '../options.ts';
import type { SetExitCode } from '../program.ts';
import { onRegistry, type RegistryContext, tell } from '../registry-command.ts';
import type { Product } from '../run-command.ts';
import { bytesValue, timeValue } from '../values.ts';

interface ListFlags {
  json?: boolean;
  name?: string;
  status?: ImageStatus[];
  tag?: string[];
  property?: Record<string, string>;
  visibility?: Visibility;
  owner?: string;
  diskFormat?: DiskFormat;
  sizeMin?: number;
  sizeMax?: number;
  createdAfter?: number;
  createdBefore?: number;
  updatedAfter?: number;
  updatedBefore?: number;
  hidden?: boolean;
  sort?: string;
  limit: number;
  marker?: string;
  format: 'table' | 'csv';
}

/** A page: what a terminal still shows in one go, and memory holds whatever there is. */
const USUAL_LIMIT = 10_000;

export function addListCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('list')
    .summary('list the images of a registry')
    .description(
      'Lists the images of a registry, the newest first; killed and deleted ones where --status\nasks for them, hidden ones where --hidden does.',
    );
  addFilters(command);
  command
    .optionsGroup('Order and form:')
    .option('--sort <keys>', 'KEY[:asc|desc], several with commas (default: created_at:desc)')
    .option('--limit <count>', 'images at most', wholeNumber, USUAL_LIMIT)
    .option('--marker <id>', 'begin after this image, the last one of the page before')
    .addOption(
      choiceOption('--format <format>', 'form of the list', ['table', 'csv']).default('table'),
    );
  onRegistry<ListFlags>(command, setExitCode, list);
}

function addFilters(command: Command): void {
  command
    .optionsGroup('Filter:')
    .option('--name <name>', 'only images of this name')
    .option('--status <status>', 'only in this status (repeatable)', collectChoices(IMAGE_STATUSES))
    .option('--tag <tag>', 'only with this tag (repeatable: with all of them)', collect)
    .option('--property <key=value>', 'only with this property (repeatable)', collectProperty)
    .addOption(choiceOption('--visibility <who>', 'only of this visibility', VISIBILITIES))
    .option('--owner <owner>', 'only of this owner')
    .addOption(choiceOption('--disk-format <format>', 'only of this format', DISK_FORMATS))
    .option('--size-min <size>', 'only with so much data, as 1GiB', bytesValue)
    .option('--size-max <size>', 'only with no more data', bytesValue)
    .option('--created-after <time>', 'a date, a time, or an age as 7d', timeValue)
    .option('--created-before <time>', 'a date, a time, or an age', timeValue)
    .option('--updated-after <time>', 'a date, a time, or an age', timeValue)
    .option('--updated-before <time>', 'a date, a time, or an age', timeValue)
    .option('--hidden', 'only hidden images');
}

async function list(context: RegistryContext, flags: ListFlags): Promise<Product> {
  const { registry, signal } = context;
  const { parseSort } = await import('../../registry/list-query.ts');
  const { tag: tags, property: properties, sort, marker, ...rest } = flags;
  const order = sort === undefined ? {} : { sort: parseSort(sort) };
  const query: ListQuery = { ...rest, tags, properties, ...order };
  const page = await registry.queryImages(query, { marker, signal });
  const { imageCsv, imageTable } = await import('../image-table.ts');
  // The JSON has it as a field.
  if (page.marker !== null && flags.json !== true)
    tell(context, `there is more: list with --marker ${page.marker}`);
  const text =
    flags.json === true ? '' : (flags.format === 'csv' ? imageCsv : imageTable)(page.images);
  return { text, json: { images: page.images, marker: page.marker } };
}
