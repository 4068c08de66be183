// `virt-publish alias`: names that move from image to image, with their history.
import type { Command } from 'commander';
import type { AliasRecord } from '../../registry/aliases/aliases.ts';
import type { SetExitCode } from '../exit-codes.ts';
import { wholeNumber } from '../options.ts';
import { onRegistry, type RegistryContext, report } from '../registry-command.ts';
import type { Product } from '../run-command.ts';

interface MoveFlags {
  ifVersion?: number;
  to?: number;
  force?: boolean;
}

const IF_VERSION = ['--if-version <n>', 'fail unless it is at this version'] as const;

export function addAliasCommand(program: Command, setExitCode: SetExitCode): void {
  const alias = program
    .command('alias')
    .summary('manage names that move from image to image')
    .description(
      'Names that move from image to image, such as web/latest. Each move is a new version. If several\nclients move one at the same time, one wins, and the others get exit 43.',
    );
  const add = (name: string, description: string) => alias.command(name).description(description);
  const set = add('set', 'Lets an alias point to an active image.')
    .argument('<alias>', 'such as web/latest')
    .argument('<image>', 'id (or its first 4 characters or more), name or another alias')
    .option(...IF_VERSION, wholeNumber);
  onRegistry<MoveFlags>(set, setExitCode, setAlias);
  const rm = add('rm', 'Removes an alias; its history stays.')
    .argument('<alias>')
    .option(...IF_VERSION, wholeNumber)
    .option('--force', 'remove its history too, if no version can follow the newest one');
  onRegistry<MoveFlags>(rm, setExitCode, removeAlias);
  onRegistry(add('list', 'Lists the aliases and what they point to.'), setExitCode, listAliases);
  const log = add('log', 'Lists the images that an alias pointed to, the newest first.');
  onRegistry(log.argument('<alias>'), setExitCode, logAlias);
  const rollback = add('rollback', 'Moves an alias back to the image it pointed to before.')
    .argument('<alias>')
    .option('--to <version>', 'back to the image of this version', wholeNumber);
  onRegistry<MoveFlags>(rollback, setExitCode, rollbackAlias);
}

async function setAlias(context: RegistryContext, { ifVersion }: MoveFlags): Promise<Product> {
  const { registry, signal, args } = context;
  const [name = '', ref = ''] = args;
  const image = await registry.getImage(ref, { signal });
  return moved(
    context,
    await registry.setAlias(name, image.id, { signal, expectVersion: ifVersion }),
  );
}

async function removeAlias(
  context: RegistryContext,
  { ifVersion, force }: MoveFlags,
): Promise<Product> {
  const { registry, signal, args } = context;
  const options = { signal, expectVersion: ifVersion, force };
  return moved(context, await registry.removeAlias(args[0] ?? '', options));
}

async function rollbackAlias(context: RegistryContext, { to }: MoveFlags): Promise<Product> {
  const { registry, signal, args } = context;
  return moved(context, await registry.rollbackAlias(args[0] ?? '', { signal, toVersion: to }));
}

function moved(context: RegistryContext, record: AliasRecord): Product {
  const { alias, version, image_id } = record;
  const where = image_id === null ? 'is removed' : `points to ${image_id}`;
  report(context, `${alias} ${where} since version ${version}`);
  return { text: '', json: { ...record } };
}

async function listAliases({ registry, signal }: RegistryContext): Promise<Product> {
  const aliases: AliasRecord[] = [];
  for await (const alias of registry.listAliases({ signal })) aliases.push(alias);
  aliases.sort((a, b) => a.alias.localeCompare(b.alias));
  return { text: await table('ALIAS', aliases), json: { aliases } };
}

async function logAlias({ registry, signal, args }: RegistryContext): Promise<Product> {
  const alias = args[0] ?? '';
  const log = (await registry.aliasLog(alias, { signal })).reverse();
  return { text: await table('ALIAS', log), json: { log } };
}

async function table(title: string, records: readonly AliasRecord[]): Promise<string> {
  const { formatTable } = await import('../views/table.ts');
  const { formatDate, printable } = await import('../views/format.ts');
  const columns = [
    { title },
    { title: 'IMAGE' },
    { title: 'VERSION', align: 'right' as const },
    { title: 'SINCE' },
  ];
  const rows = records.map(({ alias, image_id, version, created_at }) => {
    return [printable(alias), image_id ?? '-', String(version), formatDate(created_at)];
  });
  return formatTable(columns, rows);
}
