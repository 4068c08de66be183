// `virt-publish prune`: deletes old images by a retention policy.
import type { Command } from 'commander';
import type { Pruned } from '../../registry/lifecycle/prune-images.ts';
import type { SetExitCode } from '../exit-codes.ts';
import { wholeNumber } from '../options.ts';
import { onRegistry, type RegistryContext, report, warn } from '../registry-command.ts';
import type { Product } from '../run-command.ts';

interface PruneFlags {
  keepLast?: number;
  keepDaily?: number;
  keepWeekly?: number;
  keepMonthly?: number;
  name?: string;
  dryRun?: boolean;
  json?: boolean;
}

export function addPruneCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('prune')
    .summary('delete old images by a retention policy')
    .description(
      "Deletes active images that no rule keeps. The rules count for each line of images: the\nsnapshots of the same disks of one domain under one name, or the images of one name.\nProtected images, images with an alias, and images with an impossible date always stay. Days\nand weeks are those of the registry's clock, in UTC.",
    )
    .optionsGroup('Rules:')
    .option('--keep-last <n>', 'keep the newest n images', wholeNumber)
    .option(
      '--keep-daily <n>',
      'and the newest image of each of the last n days that have one',
      wholeNumber,
    )
    .option('--keep-weekly <n>', 'and of each of the last n weeks', wholeNumber)
    .option('--keep-monthly <n>', 'and of each of the last n months', wholeNumber)
    .optionsGroup('What:')
    .option('--name <name>', 'only images of this name')
    .option('-n, --dry-run', 'print what would be deleted; delete nothing');
  onRegistry<PruneFlags>(command, setExitCode, prune);
}

async function prune(context: RegistryContext, flags: PruneFlags): Promise<Product> {
  const { registry, signal } = context;
  const { keepLast, keepDaily, keepWeekly, keepMonthly, name, dryRun = false } = flags;
  const policy = { last: keepLast, daily: keepDaily, weekly: keepWeekly, monthly: keepMonthly };
  const pruned = await registry.pruneImages(policy, { name, dryRun, signal });
  const deleted = pruned.filter(({ kept }) => !kept);
  for (const { image, reasons, wrongDate } of pruned)
    if (wrongDate) warn(context, `image ${image.id} is kept: ${reasons.join(', ')}`);
  const what = dryRun ? 'would be deleted' : 'deleted';
  if (name !== undefined && pruned.length === 0)
    report(context, `${registry.url}: no active image has the name ${JSON.stringify(name)}`);
  report(context, `${deleted.length} of ${pruned.length} images ${what}`);
  const images = pruned.map(({ image, kept, reasons }) => {
    return { id: image.id, name: image.name, created_at: image.created_at, kept, reasons };
  });
  return { text: await table(pruned), json: { dryRun, images } };
}

async function table(pruned: readonly Pruned[]): Promise<string> {
  const { formatTable } = await import('../views/table.ts');
  const { formatDate, printable } = await import('../views/format.ts');
  const columns = [
    { title: '' },
    { title: 'ID' },
    { title: 'NAME' },
    { title: 'CREATED' },
    { title: 'WHY' },
  ];
  const rows = pruned.map(({ image, kept, reasons }) => [
    kept ? 'keep' : 'delete',
    image.id,
    printable(image.name),
    formatDate(image.created_at),
    printable(reasons.join(', ')),
  ]);
  return formatTable(columns, rows);
}
