// `virt-publish pull`: fetches the data of an image into a file, a directory, or standard output.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { DISK_FORMATS, type DiskFormat } from '../../core/model.ts';
import type { ImageRecord } from '../../registry/record/image.ts';
import type { SetExitCode } from '../exit-codes.ts';
import {
  addRegistryOptions,
  choiceOption,
  type GlobalFlags,
  type RegistryFlags,
  registryOverrides,
} from '../options.ts';
import type { CommandContext, Product } from '../run-command.ts';

type PullFlags = GlobalFlags &
  RegistryFlags & { overwrite?: boolean; format?: DiskFormat; disk?: string; artefact?: string };

export function addPullCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('pull')
    .argument('<image>', 'id (or its first 4 characters or more), alias or name')
    .argument(
      '[file]',
      'file, directory/, or - (default: <name>.<format>; <name>/ for several disks)',
    )
    .summary('fetch the data of an image')
    .description(
      'Fetches the data of an image. Its digest is verified before the file gets its name,\nor before the first byte goes to standard output. A pull that was interrupted is\nresumed when it is run again. A directory gets every disk, as <target>.<format>.',
    )
    .addOption(
      choiceOption(
        '--format <format>',
        "convert to this format (default: the image's own)",
        DISK_FORMATS,
      ),
    )
    .option('--disk <target>', 'only this disk, such as vda (default: all)')
    .option('--artefact <name>', 'fetch this artefact, such as nvram.fd (default: the data)')
    .option('--overwrite', 'replace a file that exists');
  addRegistryOptions(command).action(async (ref: string, file: string | undefined) => {
    const flags = command.optsWithGlobals<PullFlags>();
    const { runCommand } = await import('../run-command.ts');
    const frame = { flags, overrides: registryOverrides(flags) };
    const work = (context: CommandContext) =>
      file === '-' ? pullToOutput(ref, flags, context) : pull(ref, file, flags, context);
    setExitCode(await runCommand(frame, work));
  });
}

async function pull(
  ref: string,
  named: string | undefined,
  { format, disk, artefact, overwrite = false }: PullFlags,
  context: CommandContext,
): Promise<Product> {
  const { config, signal, onEvent } = context;
  if (artefact !== undefined && format !== undefined)
    throw await usageError(NO_FORMAT, 'leave --format out');
  const { openConfiguredRegistry } = await import('../open-registry.ts');
  const { pullAs } = await import('../../operations/pull/pull-as.ts');
  const registry = await openConfiguredRegistry(context);
  const image = await registry.getImage(ref, { signal });
  const { fileNameOf } = await import('../../registry/record/names.ts');
  const options = { disk, format, artefact, overwrite, config, signal, onEvent };
  if (artefact === undefined && (await wantsDirectory(named, { disk, disks: image.disks }))) {
    const { pullDisks } = await import('../../operations/pull/pull-disks.ts');
    const directory = resolve(named ?? fileNameOf(image.name));
    const files = await pullDisks(registry, image, { ...options, directory });
    return { text: named === undefined ? directory : '', json: { image, directory, files } };
  }
  const bare = disk === undefined ? image.name : `${image.name}-${disk}`;
  const file = resolve(named ?? artefact ?? `${fileNameOf(bare)}.${format ?? image.disk_format}`);
  await pullAs(registry, image, { ...options, file });
  return { text: named === undefined ? file : '', json: { image, file } };
}

/** Whether the target is a directory: it is one, its name ends with /, or the image has several disks. */
async function wantsDirectory(
  named: string | undefined,
  { disk, disks = [] }: { disk: string | undefined; disks: ImageRecord['disks'] | undefined },
): Promise<boolean> {
  if (named === undefined) return disk === undefined && disks.length > 1;
  if (named.endsWith('/')) return true;
  const found = await stat(named).catch(() => undefined);
  return found?.isDirectory() ?? false;
}

// NOTE: what was piped cannot be recalled, so the data is written to the work directory and verified
// first.
async function pullToOutput(
  ref: string,
  flags: PullFlags,
  context: CommandContext,
): Promise<Product> {
  if (flags.json === true) throw await usageError(NO_JSON, 'name a file instead of -');
  const { output, signal, config } = context;
  const { withScratchFolder } = await import('../../run/journal/scratch-folder.ts');
  await withScratchFolder(config.workDir, 'pull', async (folder) => {
    const file = join(folder, 'image');
    await pull(ref, file, flags, context);
    await output.pipe(createReadStream(file, { highWaterMark: 1024 * 1024, signal }), signal);
  });
  return { text: '', json: {} };
}

const NO_JSON = 'standard output cannot take both --json and the image';
const NO_FORMAT = '--format has no effect on an artefact';

async function usageError(message: string, hint: string): Promise<Error> {
  const { PublishError } = await import('../../core/errors.ts');
  return new PublishError('USAGE', message, { step: 'config', hint });
}
