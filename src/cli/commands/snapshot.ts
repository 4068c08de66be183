// `virt-publish snapshot`: takes an image of a domain and publishes it.
import type { Command } from 'commander';
import type { SnapshotOptions } from '../../operations/snapshot/snapshot-types.ts';
import type { SetExitCode } from '../exit-codes.ts';
import {
  addRegistryOptions,
  type GlobalFlags,
  given,
  hostOverrides,
  type RegistryFlags,
} from '../options.ts';
import type { CommandContext, Product } from '../run-command.ts';
import { deadlinesHelp } from './deadlines-help.ts';
import { addSnapshotOptions } from './snapshot-options.ts';

type SnapshotFlags = GlobalFlags &
  RegistryFlags &
  Pick<SnapshotOptions, 'name' | 'mode' | 'method' | 'allDisks' | 'format' | 'compress'> &
  Pick<SnapshotOptions, 'quiesce' | 'visibility' | 'protected' | 'connect' | 'workDir' | 'hash'> & {
    disk?: string[];
    alias?: string[];
    tag?: string[];
    property?: Record<string, string>;
    bandwidth?: number;
    uploadRate?: number;
    keep?: number;
    fromSnapshot?: string;
    withNvram?: boolean;
    sysprep?: boolean;
    sysprepOperations?: string;
    volumeSnapshots?: boolean;
    dryRun?: boolean;
  };

const RESTORING = {
  first: 'stopping: putting the guest back first…',
  again: 'putting the guest back, please wait',
};

export function addSnapshotCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('snapshot')
    .argument('<domain>', 'name, UUID or id of the domain')
    .summary('take an image of a domain and publish it')
    .description(
      'Takes an image of a domain and publishes it. Prints the id of the image.\nThe guest is whole again when the command ends, however it ends.',
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
  context: CommandContext,
): Promise<Product> {
  const { config, signal, onEvent } = context;
  const options = { ...toOptions(domain, flags, config.workDir), signal, onEvent };
  if (flags.volumeSnapshots === true) {
    const { snapshotVolumes } = await import('./snapshot-volumes.ts');
    return snapshotVolumes(options, { dryRun: flags.dryRun === true }, context);
  }
  const { createSnapshot, planSnapshot } = await import('../../operations/snapshot/snapshot.ts');
  if (flags.dryRun === true) {
    const plan = await planSnapshot(options, config);
    const { formatPlan, refusalOf } = await import('../views/plan-view.ts');
    return { text: formatPlan(plan), json: { plan }, ...refusalOf(plan) };
  }
  const result = await createSnapshot(options, config);
  return { text: result.image.id, json: { ...result } };
}

function toOptions(domain: string, flags: SnapshotFlags, workDir: string): SnapshotOptions {
  const { name, mode, method, format, compress, quiesce, visibility, hash, connect } = flags;
  return {
    domain,
    workDir,
    ...given({ name, mode, method, format, compress, quiesce, visibility, hash, connect }),
    ...given({ disk: flags.disk, allDisks: flags.allDisks }),
    ...given({
      protected: flags.protected,
      keep: flags.keep,
      fromSnapshot: flags.fromSnapshot,
      withNvram: flags.withNvram,
      sysprep: flags.sysprepOperations === undefined ? flags.sysprep : true,
      sysprepOperations: flags.sysprepOperations,
      registry: flags.registry,
      bandwidthMib: flags.bandwidth,
      uploadRateMib: flags.uploadRate,
    }),
    ...given({ aliases: flags.alias, tags: flags.tag, properties: flags.property }),
  };
}
