// `virt-publish url`: prints a link to an image's data that needs no credentials.
import type { Command } from 'commander';
import type { SetExitCode } from '../exit-codes.ts';
import {
  addRegistryOptions,
  type GlobalFlags,
  type RegistryFlags,
  registryOverrides,
} from '../options.ts';
import type { CommandContext, Product } from '../run-command.ts';
import { secondsValue } from '../values.ts';

type UrlFlags = GlobalFlags & RegistryFlags & { expires?: number; disk?: string };

const HOUR_S = 3600;

export function addUrlCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('url')
    .argument('<image>', 'id (or its first 4 characters or more), alias or name')
    .summary('make a link to the data of an image')
    .description(
      'Prints a link to the data of an image that works until it expires.\nKeep it secret: the link needs no credentials. S3 only.',
    )
    .option('--disk <target>', 'target of a disk, such as vda (default: the only one)')
    .option(
      '--expires <time>',
      'how long it works: 90s, 15m, 1h, 7d; a plain number is seconds (default: 1h)',
      secondsValue,
    );
  addRegistryOptions(command).action(async (ref: string) => {
    const flags = command.optsWithGlobals<UrlFlags>();
    const { runCommand } = await import('../run-command.ts');
    const frame = { flags, overrides: registryOverrides(flags) };
    setExitCode(await runCommand(frame, (context) => link(ref, flags, context)));
  });
}

async function link(
  ref: string,
  { expires: expiresSeconds = HOUR_S, disk }: UrlFlags,
  context: CommandContext,
): Promise<Product> {
  const { openConfiguredRegistry } = await import('../open-registry.ts');
  const { signal } = context;
  const registry = await openConfiguredRegistry(context);
  const expires = new Date(Date.now() + expiresSeconds * 1000).toISOString();
  const { image, url } = await registry.presignImage(ref, { expiresSeconds, disk, signal });
  const { diskData } = await import('../../registry/record/image-objects.ts');
  const { sha256 } = diskData(image, disk);
  return { text: url, json: { image_id: image.id, url, expires, sha256 } };
}
