// `virt-publish copy`: an image into another registry, under the same id.
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Config } from '../../config/config.ts';
import { runStep } from '../../core/events.ts';
import type { SetExitCode } from '../exit-codes.ts';
import { given } from '../options.ts';
import { onRegistry, type RegistryContext, report } from '../registry-command.ts';
import type { Product } from '../run-command.ts';

interface CopyFlags {
  to: string;
  alias?: string;
  toEndpoint?: string;
  toRegion?: string;
  toProfile?: string;
  toPathStyle?: boolean;
  toCaFile?: string;
}

export function addCopyCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('copy')
    .argument('<image>', 'id (or its first 4 characters or more), alias or name')
    .summary('copy an image to another registry')
    .description(
      'Copies an image to another registry, under the same id: by the S3 server itself if it\nhas both, else through this host. The copy becomes active when it was read back.',
    )
    .requiredOption('--to <url>', 's3://bucket/prefix, or a directory')
    .option('--alias <alias>', 'let this alias of the other registry point to it')
    .optionsGroup('The other registry, if it differs:')
    .option('--to-endpoint <url>', 'its S3 server')
    .option('--to-region <name>', 'region of its bucket')
    .option('--to-profile <name>', 'profile of ~/.aws/config with its credentials')
    .option('--to-path-style', 'put its bucket into the path')
    .option('--no-to-path-style', 'put its bucket into the host name')
    .option(
      '--to-ca-file <file>',
      "PEM file of the authority that signed its server's certificate",
    );
  onRegistry<CopyFlags>(command, setExitCode, copy);
}

async function copy(context: RegistryContext, flags: CopyFlags): Promise<Product> {
  const { registry, signal, onEvent, args } = context;
  const { to, alias } = flags;
  const { openConfiguredRegistry } = await import('../open-registry.ts');
  const target = await openConfiguredRegistry(context, {
    ...{ url: to, s3: targetS3(flags), writes: true },
  });
  await target.checkAccess({ signal });
  const found = await registry.getImage(args[0] ?? '', { signal });
  const { allObjects, totalSize } = await import('../../registry/record/image-objects.ts');
  const total = totalSize(allObjects(found));
  const onProgress = (bytes: number) => onEvent({ type: 'progress', step: 'copy', bytes, total });
  const { image, way } = await runStep(
    onEvent,
    'copy',
    () => registry.copyImage(found.id, target, { signal, onProgress }),
    (copied) => WAYS[copied.way],
  );
  if (alias !== undefined) await target.setAlias(alias, image.id, { signal });
  report(context, `${image.id} (${image.name}) is in ${target.url}`);
  return { text: image.id, json: { image, way, registry: target.url, alias: alias ?? null } };
}

/** Returns the settings of the other registry; the rest is that of this one. */
function targetS3(flags: CopyFlags): Partial<Config['s3']> {
  const { toEndpoint, toRegion, toProfile, toPathStyle, toCaFile } = flags;
  return given({
    endpoint: toEndpoint,
    region: toRegion,
    profile: toProfile,
    pathStyle: toPathStyle,
    caFile: toCaFile === undefined ? undefined : resolve(toCaFile),
  });
}

const WAYS = {
  server: 'copied by the server itself',
  streamed: 'sent through this host',
  there: 'existed already',
} as const;
