// `virt-publish sums`: SHA256SUMS lines of one image, some, or all.
import type { Command } from 'commander';
import type { SetExitCode } from '../exit-codes.ts';
import { onRegistry, type RegistryContext } from '../registry-command.ts';
import type { Product } from '../run-command.ts';

export function addSumsCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('sums')
    .argument(
      '[images...]',
      'ids (or their first 4 characters or more), aliases or names (default: all active ones)',
    )
    .summary('print SHA256SUMS lines')
    .description(
      'Prints "<sha256>  <id>/<name>" for the data and each artefact, as sha256sum -c reads it in\na folder that has the images as <id>/<name>: a copy of the images/ folder of the registry.',
    );
  onRegistry(command, setExitCode, sums);
}

async function sums({ registry, signal, args }: RegistryContext): Promise<Product> {
  const { sumLines } = await import('../../registry/sums.ts');
  const lines: string[] = [];
  for (const ref of args) lines.push(...sumLines(await registry.getImage(ref, { signal })));
  if (args.length === 0)
    for await (const image of registry.listImages({ signal }))
      if (image.status === 'active') lines.push(...sumLines(image));
  return { text: lines.join('\n'), json: { sums: lines } };
}
