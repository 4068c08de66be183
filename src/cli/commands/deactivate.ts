// `virt-publish deactivate`: takes an image out of use.
import type { Command } from 'commander';
import type { SetExitCode } from '../exit-codes.ts';
import { onRegistry, type RegistryContext, report } from '../registry-command.ts';
import type { Product } from '../run-command.ts';

export function addDeactivateCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('deactivate')
    .argument('<image>', 'id (or its first 4 characters or more), alias or name')
    .summary('take an image out of use')
    .description('Takes an active image out of use: pull refuses it until it is reactivated.');
  onRegistry(command, setExitCode, deactivate);
}

async function deactivate(context: RegistryContext): Promise<Product> {
  const { registry, signal, args } = context;
  const image = await registry.deactivateImage(args[0] ?? '', { signal });
  report(context, `${image.id} (${image.name}) is ${image.status}`);
  return { text: '', json: { image } };
}
