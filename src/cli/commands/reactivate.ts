// `virt-publish reactivate`: puts a deactivated image back into use.
import type { Command } from 'commander';
import type { SetExitCode } from '../exit-codes.ts';
import { onRegistry, type RegistryContext, report } from '../registry-command.ts';
import type { Product } from '../run-command.ts';

export function addReactivateCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('reactivate')
    .argument('<image>', 'id (or its first 4 characters or more), alias or name')
    .summary('put a deactivated image back into use')
    .description(
      'Makes a deactivated image active again. An image that verify found damaged is read back first.',
    );
  onRegistry(command, setExitCode, reactivate);
}

async function reactivate(context: RegistryContext): Promise<Product> {
  const { registry, signal, args } = context;
  const image = await registry.reactivateImage(args[0] ?? '', { signal });
  report(context, `${image.id} (${image.name}) is ${image.status}`);
  return { text: '', json: { image } };
}
