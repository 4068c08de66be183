// `virt-publish alias`: names that move from image to image.
import type { Command } from 'commander';
import type { AliasRecord } from '../../registry/aliases.ts';
import {
  addRegistryOptions,
  type GlobalFlags,
  type RegistryFlags,
  registryOverrides,
} from '../options.ts';
import type { SetExitCode } from '../program.ts';
import type { CommandContext, Product } from '../run-command.ts';

type AliasFlags = GlobalFlags & RegistryFlags;
type Work = (context: CommandContext) => Promise<Product>;

export function addAliasCommand(program: Command, setExitCode: SetExitCode): void {
  const alias = program
    .command('alias')
    .summary('let a name point to an image, or list such names')
    .description('Names that move from image to image, as web/latest.');
  const run = async (command: Command, work: Work) => {
    const flags = command.optsWithGlobals<AliasFlags>();
    const { runCommand } = await import('../run-command.ts');
    setExitCode(await runCommand({ flags, overrides: registryOverrides(flags) }, work));
  };
  const set = alias
    .command('set')
    .description('Lets an alias point to an image.')
    .argument('<alias>', 'as web/latest')
    .argument('<image>', 'id, or another alias');
  addRegistryOptions(set).action((name: string, ref: string) =>
    run(set, (context) => setAlias(name, ref, context)),
  );
  const list = alias.command('list').description('Lists the aliases and what they point to.');
  addRegistryOptions(list).action(() => run(list, listAliases));
}

async function setAlias(name: string, ref: string, context: CommandContext): Promise<Product> {
  const { config, signal, onEvent } = context;
  const { openConfiguredRegistry } = await import('../open-registry.ts');
  const registry = await openConfiguredRegistry(config);
  const image = await registry.getImage(ref, { signal });
  const moved = await registry.setAlias(name, image.id, { signal });
  const message = `${name} points to ${image.id}`;
  onEvent({ type: 'note', level: 'info', step: 'alias', message });
  return { text: '', json: { ...moved, image_id: image.id } };
}

async function listAliases({ config, signal }: CommandContext): Promise<Product> {
  const { openConfiguredRegistry } = await import('../open-registry.ts');
  const registry = await openConfiguredRegistry(config);
  const aliases: AliasRecord[] = [];
  for await (const alias of registry.listAliases({ signal })) aliases.push(alias);
  aliases.sort((a, b) => a.alias.localeCompare(b.alias));
  const { formatTable } = await import('../table.ts');
  const { printable } = await import('../format.ts');
  const columns = [
    { title: 'ALIAS' },
    { title: 'IMAGE' },
    { title: 'VERSION', align: 'right' as const },
  ];
  const rows = aliases.map(({ alias, image_id, version }) => {
    return [printable(alias), image_id ?? '-', String(version)];
  });
  return { text: formatTable(columns, rows), json: { aliases } };
}
