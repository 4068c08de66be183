// `virt-publish show`: prints the record of one image.
import type { Command } from 'commander';
import type { ImageDisk, ImageRecord } from '../../registry/record/image.ts';
import type { SetExitCode } from '../exit-codes.ts';
import { onRegistry, type RegistryContext } from '../registry-command.ts';
import type { Product } from '../run-command.ts';

export function addShowCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('show')
    .argument('<image>', 'id (or its first 4 characters or more), alias or name')
    .summary('show the record of an image')
    .description('Shows the record of an image, and its aliases.');
  onRegistry(command, setExitCode, show);
}

async function show({ registry, signal, args }: RegistryContext): Promise<Product> {
  const image = await registry.getImage(args[0] ?? '', { signal });
  const aliases: string[] = [];
  for await (const { alias, image_id } of registry.listAliases({ signal }))
    if (image_id === image.id) aliases.push(alias);
  const { formatPairs } = await import('../views/table.ts');
  const { printable } = await import('../views/format.ts');
  const pairs = (await fields(image, aliases)).map(([name, value]) => {
    return [printable(name), printable(value)] as const;
  });
  return { text: formatPairs(pairs), json: { image, aliases } };
}

async function fields(image: ImageRecord, aliases: readonly string[]): Promise<[string, string][]> {
  const { formatBytes, formatDate } = await import('../views/format.ts');
  const { allObjects } = await import('../../registry/record/image-objects.ts');
  const size = (bytes: number | null) =>
    bytes === null ? '-' : `${formatBytes(bytes)} (${bytes} bytes)`;
  const digest = `${image.os_hash_algo ?? ''} ${image.os_hash_value ?? ''}`.trim();
  const properties = Object.entries(image.properties).sort(([a], [b]) => a.localeCompare(b));
  return [
    ['id', image.id],
    ['name', image.name],
    ['status', image.status + (image.status_reason === null ? '' : `: ${image.status_reason}`)],
    ['aliases', aliases.join(', ') || '-'],
    ['tags', image.tags.join(', ') || '-'],
    ['visibility', image.visibility],
    ['protected', image.protected ? 'yes' : 'no'],
    ['hidden', image.os_hidden ? 'yes' : 'no'],
    ['owner', image.owner ?? '-'],
    ['disk format', image.disk_format],
    ['container format', image.container_format],
    ['size', size(image.size)],
    ['virtual size', size(image.virtual_size)],
    ['min disk', `${image.min_disk} GiB`],
    ['min ram', `${image.min_ram} MiB`],
    ['checksum (md5)', image.checksum ?? '-'],
    ['digest', digest || '-'],
    ['created', formatDate(image.created_at)],
    ['updated', formatDate(image.updated_at)],
    ['record version', String(image.version)],
    ...(image.disks ?? []).map((disk): [string, string] => ['disk', describeDisk(disk, size)]),
    ...allObjects(image).map(({ name, size: bytes, sha256 }): [string, string] => [
      'object',
      `${name}, ${formatBytes(bytes)}, sha256 ${sha256}`,
    ]),
    ...properties.map(([name, value]): [string, string] => [`  ${name}`, value]),
  ];
}

function describeDisk(
  { target, bus, boot_index, virtual_size }: ImageDisk,
  size: (bytes: number) => string,
): string {
  const boot = boot_index === null ? '' : `, boot index ${boot_index}`;
  return `${target} on ${bus}${boot}, ${size(virtual_size)}`;
}
