// `virt-publish volume-snapshot`: lets the storage pools take snapshots, and publishes an image that names them.
import type { Command } from 'commander';
import { QUIESCE_POLICIES } from '../../core/model.ts';
import type { VolumeSnapshotOptions } from '../../operations/volume-snapshot/volume-types.ts';
import type { SetExitCode } from '../exit-codes.ts';
import { addImageOptions, type ImageFlags, imageOptions } from '../image-options.ts';
import {
  addRegistryOptions,
  CONNECT,
  choiceOption,
  type GlobalFlags,
  given,
  hostOverrides,
  type RegistryFlags,
  withDefault,
} from '../options.ts';
import type { CommandContext, Product } from '../run-command.ts';
import { RESTORING } from '../signals.ts';
import { deadlinesHelp } from './deadlines-help.ts';

type VolumeSnapshotFlags = GlobalFlags &
  RegistryFlags &
  ImageFlags &
  Pick<VolumeSnapshotOptions, 'quiesce' | 'connect'> & { dryRun?: boolean };

export function addVolumeSnapshotCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('volume-snapshot')
    .argument('<domain>', 'name, UUID or id of the domain')
    .summary('let storage pools take snapshots of all volumes of a domain')
    .description(
      'Takes a snapshot of every volume of a domain at one point in time, in its storage pool, and\npublishes an image that names the snapshots and has no data. Prints the id of the image.',
    );
  addImageOptions(command);
  command
    .optionsGroup('Capture:')
    .addOption(
      choiceOption(
        '--quiesce <policy>',
        withDefault('freeze the file systems for the point in time', 'snapshot', 'quiesce'),
        QUIESCE_POLICIES,
      ),
    )
    .option(...CONNECT)
    .option('-n, --dry-run', 'print what would be done, and every obstacle; touch nothing');
  addRegistryOptions(command);
  command.addHelpText('after', () => `\n${deadlinesHelp()}`);
  command.action(async (domain: string) => {
    const flags = command.optsWithGlobals<VolumeSnapshotFlags>();
    const { runCommand } = await import('../run-command.ts');
    const overrides = hostOverrides(flags);
    const frame = { flags, overrides, words: RESTORING, holdsGuest: true };
    setExitCode(await runCommand(frame, (context) => snapshotVolumes(domain, flags, context)));
  });
}

async function snapshotVolumes(
  domain: string,
  flags: VolumeSnapshotFlags,
  { config, signal, onEvent }: CommandContext,
): Promise<Product> {
  const { quiesce, connect, registry } = flags;
  const options = {
    ...{ domain, signal, onEvent },
    ...imageOptions(flags),
    ...given({ quiesce, connect, registry }),
  };
  const { createVolumeSnapshot, planVolumeSnapshot } = await import(
    '../../operations/volume-snapshot/volume-snapshot.ts'
  );
  if (flags.dryRun === true) {
    const plan = await planVolumeSnapshot(options, config);
    const { formatVolumePlan } = await import('../views/volume-plan-view.ts');
    const { refusalOf } = await import('../views/plan-view.ts');
    return { text: formatVolumePlan(plan), json: { plan }, ...refusalOf(plan) };
  }
  const result = await createVolumeSnapshot(options, config);
  return { text: result.image.id, json: { ...result } };
}
