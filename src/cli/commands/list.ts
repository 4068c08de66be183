// `virt-publish list`: the images of a registry as a table, as JSON or as CSV.
import type { Command } from 'commander';
import { DISK_FORMATS, type DiskFormat, VISIBILITIES, type Visibility } from '../../core/model.ts';
import type { ImagePage } from '../../registry/catalog/list-query.ts';
import type { ListQuery } from '../../registry/catalog/query-parts.ts';
import { IMAGE_STATUSES, type ImageStatus } from '../../registry/record/image.ts';
import type { SetExitCode } from '../exit-codes.ts';
import { choiceOption, collect, collectChoices, collectProperty, wholeNumber } from '../options.ts';
import { onRegistry, type RegistryContext, report } from '../registry-command.ts';
import type { Product } from '../run-command.ts';
import { bytesValue, timeValue } from '../values.ts';
import { COLUMN_NAMES, type ColumnName, USUAL_COLUMNS } from '../views/image-columns.ts';

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
  columns?: ColumnName[];
  wide?: boolean;
}

/** Images of one page by default. */
const USUAL_LIMIT = 10_000;

export function addListCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('list')
    .summary('list the images of a registry')
    .description(
      'Lists the images of a registry, the newest first. Killed and deleted images need --status,\nhidden ones --hidden. On a terminal the table fits its width: ids are shortened, cells cut,\ncolumns left out. In a pipe nothing is cut.',
    );
  addFilters(command);
  command
    .optionsGroup('Order and form:')
    .option('--sort <keys>', 'KEY[:asc|desc], several with commas (default: created_at:desc)')
    .option('--limit <count>', 'number of images at most', wholeNumber, USUAL_LIMIT)
    .option('--marker <id>', 'start after this image, the last one of the page before')
    .addOption(
      choiceOption('--format <format>', 'form of the list', ['table', 'csv']).default('table'),
    )
    .option(
      '--columns <names>',
      `columns of the table, with commas: ${COLUMN_NAMES.join(', ')} (default: ${USUAL_COLUMNS.join(',')})`,
      collectChoices(COLUMN_NAMES),
    )
    .option('--wide', 'full ids and cells, also on a narrow terminal');
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
    .option('--size-min <size>', 'only with at least this much data, such as 1GiB', bytesValue)
    .option('--size-max <size>', 'only with at most this much data', bytesValue)
    .option('--created-after <time>', 'a date, a time, or an age such as 7d', timeValue)
    .option('--created-before <time>', 'a date, a time, or an age', timeValue)
    .option('--updated-after <time>', 'a date, a time, or an age', timeValue)
    .option('--updated-before <time>', 'a date, a time, or an age', timeValue)
    .option('--hidden', 'only hidden images');
}

const CSV_COLUMNS = 'a CSV has all columns: leave --columns or --format csv out';

async function list(context: RegistryContext, flags: ListFlags): Promise<Product> {
  const { registry, signal } = context;
  const { parseSort } = await import('../../registry/catalog/list-query.ts');
  const { usage } = await import('../../registry/record/names.ts');
  const { tag: tags, property: properties, sort, marker, ...rest } = flags;
  if (flags.format === 'csv' && flags.columns !== undefined) throw usage(CSV_COLUMNS);
  const order = sort === undefined ? {} : { sort: parseSort(sort) };
  const query: ListQuery = { ...rest, tags, properties, ...order };
  const page = await registry.queryImages(query, { marker, signal });
  // The JSON has both as fields.
  if (page.marker !== null && flags.json !== true)
    report(context, `more images follow: list them with --marker ${page.marker}`);
  if (page.miss !== null && flags.json !== true) report(context, `${registry.url}: ${page.miss}`);
  const text = flags.json === true ? '' : await asText(context, flags, page);
  return { text, json: { images: page.images, marker: page.marker, miss: page.miss } };
}

async function asText(
  context: RegistryContext,
  { format, columns: chosen, wide }: ListFlags,
  { images, idLength }: ImagePage,
): Promise<string> {
  const { imageCsv, imageTable } = await import('../views/image-table.ts');
  if (format === 'csv') return imageCsv(images);
  const columns = chosen ?? USUAL_COLUMNS;
  const needsAliases = images.length > 0 && columns.includes('aliases');
  const aliases = needsAliases ? await aliasesOf(context) : new Map<string, string[]>();
  const width = wide === true || !process.stdout.isTTY ? undefined : process.stdout.columns;
  return imageTable(images, {
    ...{ columns, isChosen: chosen !== undefined, idLength, aliases },
    width: width || undefined,
  });
}

async function aliasesOf({ registry, signal }: RegistryContext): Promise<Map<string, string[]>> {
  const aliases = new Map<string, string[]>();
  for await (const { alias, image_id } of registry.listAliases({ signal }))
    if (image_id !== null) aliases.set(image_id, [...(aliases.get(image_id) ?? []), alias]);
  return aliases;
}
