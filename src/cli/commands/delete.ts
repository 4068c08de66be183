// `virt-publish delete`: removes an image and its data from a registry.
import type { Command } from 'commander';
import type { SetExitCode } from '../program.ts';
import { onRegistry, type RegistryContext, tell } from '../registry-command.ts';
import type { Product } from '../run-command.ts';

export function addDeleteCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('delete')
    .argument('<image>', 'id, the beginning of one, alias or name')
    .summary('delete an image')
    .description('Deletes an image and its data. A protected image stays.')
    .option('--force', 'although an alias points to it, or its record cannot be read');
  onRegistry<{ force?: boolean }>(command, setExitCode, deleteImage);
}

async function deleteImage(
  context: RegistryContext,
  { force = false }: { force?: boolean },
): Promise<Product> {
  const { registry, signal, args } = context;
  const image = await registry.deleteImage(args[0] ?? '', { force, signal });
  tell(context, `deleted ${image.id} (${image.name})`);
  return { text: '', json: { deleted: image.id } };
}
