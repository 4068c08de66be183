// `virt-publish list`: the images of a registry as a table.
import type { Command } from 'commander';
import type { ImageRecord, ImageStatus } from '../../registry/image.ts';
import {
  addRegistryOptions,
  choiceOption,
  collect,
  type GlobalFlags,
  type RegistryFlags,
  registryOverrides,
} from '../options.ts';
import type { SetExitCode } from '../program.ts';
import type { CommandContext, Product } from '../run-command.ts';

type ListFlags = GlobalFlags &
  RegistryFlags & { name?: string; tag?: string[]; status?: ImageStatus };

const STATUSES: readonly ImageStatus[] = [
  'queued',
  'saving',
  'active',
  'deactivated',
  'killed',
  'deleted',
];

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

export function addListCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('list')
    .summary('list the images of a registry')
    .description(
      'Lists the images of a registry, the newest first; killed ones where --status asks for them.',
    )
    .optionsGroup('Filter:')
    .option('--name <name>', 'only images of this name')
    .option('--tag <tag>', 'only images with this tag (repeatable: with all of them)', collect)
    .addOption(choiceOption('--status <status>', 'only images in this status', STATUSES));
  addRegistryOptions(command).action(async () => {
    const flags = command.optsWithGlobals<ListFlags>();
    const { runCommand } = await import('../run-command.ts');
    const frame = { flags, overrides: registryOverrides(flags) };
    setExitCode(await runCommand(frame, (context) => list(flags, context)));
  });
}

async function list(flags: ListFlags, { config, signal }: CommandContext): Promise<Product> {
  const { openConfiguredRegistry } = await import('../open-registry.ts');
  const registry = await openConfiguredRegistry(config);
  const images: ImageRecord[] = [];
  for await (const image of registry.listImages({ all: flags.status !== undefined, signal }))
    if (matches(image, flags)) images.push(image);
  images.sort((a, b) => b.created_at.localeCompare(a.created_at) || a.id.localeCompare(b.id));
  const { formatTable } = await import('../table.ts');
  const { formatBytes, formatDate, printable } = await import('../format.ts');
  const size = (bytes: number | null) => (bytes === null ? '-' : formatBytes(bytes));
  const rows = images.map((image) => [
    image.id,
    printable(image.name),
    image.status,
    image.disk_format,
    size(image.size),
    size(image.virtual_size),
    formatDate(image.created_at),
    printable(image.tags.join(', ')),
  ]);
  return { text: formatTable(COLUMNS, rows), json: { images } };
}

function matches(image: ImageRecord, { name, tag = [], status }: ListFlags): boolean {
  return (
    (name === undefined || image.name === name) &&
    (status === undefined || image.status === status) &&
    tag.every((wanted) => image.tags.includes(wanted))
  );
}
