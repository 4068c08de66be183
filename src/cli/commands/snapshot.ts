// `virt-publish snapshot`: takes an image of a domain and publishes it.
import type { Command } from 'commander';
import type { SnapshotOptions } from '../../operations/snapshot/snapshot-types.ts';
import type { SetExitCode } from '../exit-codes.ts';
import { type ImageFlags, imageOptions } from '../image-options.ts';
import {
  addRegistryOptions,
  type GlobalFlags,
  given,
  hostOverrides,
  type RegistryFlags,
} from '../options.ts';
import type { CommandContext, Product } from '../run-command.ts';
import { RESTORING } from '../signals.ts';
import { deadlinesHelp } from './deadlines-help.ts';
import { addSnapshotOptions } from './snapshot-options.ts';

type SnapshotFlags = GlobalFlags &
  RegistryFlags &
  ImageFlags &
  Pick<SnapshotOptions, 'mode' | 'method' | 'allDisks' | 'format' | 'compress'> &
  Pick<SnapshotOptions, 'quiesce' | 'connect' | 'workDir' | 'hash'> & {
    disk?: string[];
    bandwidth?: number;
    uploadRate?: number;
    keep?: number;
    fromSnapshot?: string;
    withNvram?: boolean;
    sysprep?: boolean;
    sysprepOperations?: string;
    /** The former flag of what is the command volume-snapshot now. */
    volumeSnapshots?: boolean;
    dryRun?: boolean;
  };

export function addSnapshotCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('snapshot')
    .argument('<domain>', 'name, UUID or id of the domain')
    .summary('take an image of a domain and publish it')
    .description(
      'Takes an image of a domain and publishes it. Prints the id of the image.\nThe guest is as it was when the command ends, however it ends.',
    );
  addSnapshotOptions(command);
  addRegistryOptions(command);
  command.addHelpText('after', () => `\n${deadlinesHelp()}`);
  command.action(async (domain: string) => {
    const flags = command.optsWithGlobals<SnapshotFlags>();
    const { runCommand } = await import('../run-command.ts');
    const overrides = hostOverrides(flags);
    const frame = { flags, overrides, words: RESTORING, holdsGuest: true };
    setExitCode(await runCommand(frame, (context) => snapshot(domain, flags, context)));
  });
}

async function snapshot(
  domain: string,
  flags: SnapshotFlags,
  { config, signal, onEvent }: CommandContext,
): Promise<Product> {
  const options = { ...toOptions(domain, flags, config.workDir), signal, onEvent };
  if (flags.volumeSnapshots === true) throw await volumeSnapshotsMoved(domain);
  const { createSnapshot, planSnapshot } = await import('../../operations/snapshot/snapshot.ts');
  if (flags.dryRun === true) {
    const plan = await planSnapshot(options, config);
    const { formatPlan, refusalOf } = await import('../views/plan-view.ts');
    return { text: formatPlan(plan), json: { plan }, ...refusalOf(plan) };
  }
  const result = await createSnapshot(options, config);
  return { text: result.image.id, json: { ...result } };
}

async function volumeSnapshotsMoved(domain: string): Promise<Error> {
  const { PublishError } = await import('../../core/errors.ts');
  const { shellQuote } = await import('../../core/shell-quote.ts');
  const hint = `run virt-publish volume-snapshot ${shellQuote(domain)}`;
  return new PublishError('USAGE', '--volume-snapshots is a command of its own now', {
    ...{ step: 'config', hint },
  });
}

function toOptions(domain: string, flags: SnapshotFlags, workDir: string): SnapshotOptions {
  const { mode, method, format, compress, quiesce, hash, connect } = flags;
  return {
    domain,
    workDir,
    ...imageOptions(flags),
    ...given({ mode, method, format, compress, quiesce, hash, connect }),
    ...given({ disk: flags.disk, allDisks: flags.allDisks }),
    ...given({
      keep: flags.keep,
      fromSnapshot: flags.fromSnapshot,
      withNvram: flags.withNvram,
      sysprep: flags.sysprepOperations === undefined ? flags.sysprep : true,
      sysprepOperations: flags.sysprepOperations,
      registry: flags.registry,
      bandwidthMib: flags.bandwidth,
      uploadRateMib: flags.uploadRate,
    }),
  };
}
