// `virt-publish copy`: an image into another registry, under the same id.
import type { Command } from 'commander';
import { runStep } from '../../events.ts';
import type { SetExitCode } from '../program.ts';
import { onRegistry, type RegistryContext, tell } from '../registry-command.ts';
import type { Product } from '../run-command.ts';

interface CopyFlags {
  to: string;
  alias?: string;
}

export function addCopyCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('copy')
    .argument('<image>', 'id, the beginning of one, alias or name')
    .summary('copy an image to another registry')
    .description(
      'Copies an image to another registry, under the same id: by the S3 server itself where both\nare at the same one, else through here. It is active there once it was read back.',
    )
    .requiredOption('--to <url>', 's3://bucket/prefix at the same S3 server, or a directory')
    .option('--alias <alias>', 'let this alias of the other registry point to it');
  onRegistry<CopyFlags>(command, setExitCode, copy);
}

async function copy(context: RegistryContext, { to, alias }: CopyFlags): Promise<Product> {
  const { config, registry, signal, onEvent, args } = context;
  const { openConfiguredRegistry } = await import('../open-registry.ts');
  const target = await openConfiguredRegistry(config, { url: to, onEvent });
  await target.checkAccess({ signal });
  const found = await registry.getImage(args[0] ?? '', { signal });
  const total = [found.data, ...found.artefacts].reduce((sum, each) => sum + (each?.size ?? 0), 0);
  const onProgress = (bytes: number) => onEvent({ type: 'progress', step: 'copy', bytes, total });
  const { image, way } = await runStep(
    onEvent,
    'copy',
    () => registry.copyImage(found.id, target, { signal, onProgress }),
    (copied) => WAYS[copied.way],
  );
  if (alias !== undefined) await target.setAlias(alias, image.id, { signal });
  tell(context, `${image.id} (${image.name}) is in ${target.url}`);
  return { text: image.id, json: { image, way, registry: target.url, alias: alias ?? null } };
}

const WAYS = {
  server: 'copied by the server itself',
  streamed: 'sent through here',
  there: 'was there already',
} as const;
