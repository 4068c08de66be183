// `virt-publish pull`: an image's data into a file, or onto standard output.
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { Config } from '../../config.ts';
import { runStep } from '../../events.ts';
import {
  addRegistryOptions,
  type GlobalFlags,
  type RegistryFlags,
  registryOverrides,
} from '../options.ts';
import type { SetExitCode } from '../program.ts';
import type { CommandContext, Product } from '../run-command.ts';

type PullFlags = GlobalFlags & RegistryFlags & { overwrite?: boolean };

export function addPullCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('pull')
    .argument('<image>', 'id or alias')
    .argument('<file>', 'where it goes; - for standard output')
    .summary('fetch the data of an image')
    .description(
      'Fetches the data of an image. Its digest is verified before the file gets its name,\nor before the first byte goes to standard output.',
    )
    .option('--overwrite', 'replace a file that exists');
  addRegistryOptions(command).action(async (ref: string, file: string) => {
    const flags = command.optsWithGlobals<PullFlags>();
    const { runCommand } = await import('../run-command.ts');
    const frame = { flags, overrides: registryOverrides(flags) };
    const overwrite = flags.overwrite === true;
    const work = (context: CommandContext) =>
      file === '-'
        ? pullToOutput(ref, flags, context)
        : pull(ref, { file: resolve(file), overwrite }, context);
    setExitCode(await runCommand(frame, work));
  });
}

async function pull(
  ref: string,
  target: { file: string; overwrite: boolean },
  { config, signal, onEvent }: CommandContext,
): Promise<Product> {
  const { openConfiguredRegistry } = await import('../open-registry.ts');
  const registry = await openConfiguredRegistry(config);
  const found = await registry.getImage(ref, { signal });
  const total = found.size ?? 0;
  const onProgress = (bytes: number) => onEvent({ type: 'progress', step: 'pull', bytes, total });
  const { file, overwrite } = target;
  const image = await runStep(onEvent, 'pull', () =>
    registry.pullImage(found.id, file, { signal, onProgress, overwrite }),
  );
  return { text: '', json: { image, file } };
}

// NOTE: what is piped on cannot be taken back, so it is written to the work directory and verified
// there first.
async function pullToOutput(
  ref: string,
  flags: PullFlags,
  context: CommandContext,
): Promise<Product> {
  if (flags.json === true) throw await jsonAndOutput();
  const { output, signal } = context;
  const folder = await scratchFolder(context.config);
  try {
    const file = join(folder, 'image');
    await pull(ref, { file, overwrite: false }, context);
    await output.pipe(createReadStream(file, { highWaterMark: 1024 * 1024, signal }));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return { text: '', json: {} };
}

async function scratchFolder({ workDir }: Config): Promise<string> {
  try {
    await mkdir(workDir, { recursive: true });
    return await mkdtemp(join(workDir, 'pull-'));
  } catch (cause) {
    const { PublishError } = await import('../../errors.ts');
    const message = `the work directory ${workDir} cannot be written to: set VIRT_PUBLISH_WORK_DIR to one that can`;
    throw new PublishError('WORK_DIR', message, { step: 'pull', cause });
  }
}

async function jsonAndOutput(): Promise<Error> {
  const { PublishError } = await import('../../errors.ts');
  const message = 'standard output cannot take --json and the image: name a file instead of -';
  return new PublishError('USAGE', message, { step: 'config' });
}
