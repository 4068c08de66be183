// `virt-publish gc`: removes what no image record owns.
import type { Command } from 'commander';
import type { Garbage } from '../../registry/lifecycle/image-garbage.ts';
import type { SetExitCode } from '../exit-codes.ts';
import { onRegistry, type RegistryContext, report } from '../registry-command.ts';
import type { Product } from '../run-command.ts';
import { ageValue } from '../values.ts';

interface GcFlags {
  olderThan?: number;
  delete?: boolean;
}

const DAY_MS = 24 * 3600 * 1000;

export function addGcCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('gc')
    .summary('find and remove what no image owns')
    .description(
      'Finds leftovers of crashed runs that nothing touched for a day: data without a record, open\nuploads, images that stayed queued or saving, superseded versions of records. It lists\nthem; --delete removes them. Objects that another client writes now are younger, and stay.',
    )
    .option(
      '--older-than <age>',
      'only what nothing touched for this long (default: 24h)',
      ageValue,
    )
    .option('--delete', 'remove what is found');
  onRegistry<GcFlags>(command, setExitCode, gc);
}

async function gc(context: RegistryContext, flags: GcFlags): Promise<Product> {
  const { registry, signal } = context;
  const remove = flags.delete === true;
  const found: Garbage[] = [];
  for await (const garbage of registry.collectGarbage({
    olderThanMs: flags.olderThan ?? DAY_MS,
    remove,
    signal,
  }))
    found.push(garbage);
  const { formatTable } = await import('../views/table.ts');
  const { formatBytes, formatDate, printable } = await import('../views/format.ts');
  const bytes = formatBytes(found.reduce((sum, { size }) => sum + (size ?? 0), 0));
  const end = remove ? 'removed' : 'found; --delete removes them';
  report(
    context,
    found.length === 0 ? 'nothing to remove' : `${found.length} pieces, ${bytes}: ${end}`,
  );
  const columns = [
    ...[{ title: 'KIND' }, { title: 'KEY' }, { title: 'SIZE', align: 'right' as const }],
    ...[{ title: 'TOUCHED' }, { title: 'WHY' }],
  ];
  const rows = found.map(({ kind, key, size, touched_at, reason }) => [
    kind,
    printable(key),
    size === null ? '-' : formatBytes(size),
    touched_at === null ? '-' : formatDate(touched_at),
    printable(reason),
  ]);
  const text = found.length === 0 ? '' : formatTable(columns, rows);
  return { text, json: { removed: remove, garbage: found } };
}
