// `virt-publish inspect`: shows how a domain would be taken; touches nothing.
import type { Command } from 'commander';
import type { InspectDomainOptions } from '../../operations/inspect/inspect-types.ts';
import type { SetExitCode } from '../exit-codes.ts';
import {
  addRegistryOptions,
  CONNECT,
  type GlobalFlags,
  hostOverrides,
  type RegistryFlags,
  WORK_DIR,
} from '../options.ts';
import type { CommandContext, Product } from '../run-command.ts';

type InspectFlags = GlobalFlags & RegistryFlags & Pick<InspectDomainOptions, 'connect' | 'workDir'>;

export function addInspectCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('inspect')
    .argument('<domain>', 'name, UUID or id of the domain')
    .summary('show how a domain would be taken, and every obstacle')
    .description(
      'Shows a domain and its disks, what a snapshot would do with them, and every obstacle with a\nhint. Touches nothing; obstacles do not change the exit code.',
    )
    .option(...WORK_DIR)
    .option(...CONNECT);
  addRegistryOptions(command);
  command.action(async (domain: string) => {
    const flags = command.optsWithGlobals<InspectFlags>();
    const { runCommand } = await import('../run-command.ts');
    const overrides = hostOverrides(flags);
    setExitCode(await runCommand({ flags, overrides }, (context) => report(domain, context)));
  });
}

async function report(domain: string, { config, signal }: CommandContext): Promise<Product> {
  const { inspect } = await import('../../operations/inspect/inspect.ts');
  const found = await inspect({ domain, signal }, config);
  const { formatReport } = await import('../views/inspect-view.ts');
  return { text: formatReport(found), json: { ...found } };
}
