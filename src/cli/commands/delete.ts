// `virt-publish delete`: removes an image and its data from a registry.
import type { Command } from 'commander';
import {
  addRegistryOptions,
  type GlobalFlags,
  type RegistryFlags,
  registryOverrides,
} from '../options.ts';
import type { SetExitCode } from '../program.ts';
import type { CommandContext, Product } from '../run-command.ts';

type DeleteFlags = GlobalFlags & RegistryFlags & { force?: boolean };

export function addDeleteCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('delete')
    .argument('<image>', 'id or alias')
    .summary('delete an image')
    .description('Deletes an image and its data. A protected image stays.')
    .option('--force', 'delete it although an alias points to it');
  addRegistryOptions(command).action(async (ref: string) => {
    const flags = command.optsWithGlobals<DeleteFlags>();
    const { runCommand } = await import('../run-command.ts');
    const frame = { flags, overrides: registryOverrides(flags) };
    const force = flags.force === true;
    setExitCode(await runCommand(frame, (context) => deleteImage(ref, force, context)));
  });
}

async function deleteImage(ref: string, force: boolean, context: CommandContext): Promise<Product> {
  const { config, signal, onEvent } = context;
  const { openConfiguredRegistry } = await import('../open-registry.ts');
  const registry = await openConfiguredRegistry(config);
  const image = await registry.deleteImage(ref, { force, signal });
  const message = `deleted ${image.id} (${image.name})`;
  onEvent({ type: 'note', level: 'info', step: 'registry', message });
  return { text: '', json: { deleted: image.id } };
}
