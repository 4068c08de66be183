// `virt-publish snapshot`: takes an image of a domain and publishes it.
import type { Command } from 'commander';
import {
  COMPRESSIONS,
  MIRROR_METHODS,
  QUIESCE_POLICIES,
  SNAPSHOT_MODES,
  type SnapshotOptions,
  TARGET_FORMATS,
  VISIBILITIES,
} from '../../snapshot-types.ts';
import { deadlinesHelp } from '../deadlines-help.ts';
import {
  addRegistryOptions,
  choiceOption,
  collect,
  collectChoices,
  collectProperty,
  type GlobalFlags,
  given,
  hostOverrides,
  type RegistryFlags,
  wholeNumber,
} from '../options.ts';
import type { SetExitCode } from '../program.ts';
import type { CommandContext, Product } from '../run-command.ts';

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
  addImageOptions(command);
  addCaptureOptions(command);
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

function addImageOptions(command: Command): void {
  command
    .optionsGroup('Image:')
    .option('--name <name>', 'name of the image (default: domain and time)')
    .option('--alias <alias>', 'let this alias point to the image (repeatable)', collect)
    .option('--tag <tag>', 'tag the image (repeatable)', collect)
    .option('--property <key=value>', 'give the image a property (repeatable)', collectProperty)
    .addOption(choiceOption('--format <format>', 'format of the image', TARGET_FORMATS))
    .addOption(choiceOption('--compress <how>', 'qcow2 has zstd and zlib, vmdk zlib', COMPRESSIONS))
    .option(
      '--hash <algorithms>',
      'digests beside sha256: md5, sha512',
      collectChoices(['md5', 'sha512']),
    )
    .addOption(choiceOption('--visibility <who>', 'visibility of the image', VISIBILITIES))
    .option('--sysprep', 'seal the image with virt-sysprep; the guest is left as it is')
    .option('--sysprep-operations <list>', 'as defaults,-ssh-userdir; implies --sysprep')
    .option('--protected', 'the image cannot be deleted until it is unprotected')
    .option('--with-nvram', "the guest's UEFI variables go along, as nvram.fd")
    .option('--keep <n>', 'delete older images of the same disks and name beyond n', wholeNumber);
}

function addCaptureOptions(command: Command): void {
  command
    .optionsGroup('Capture:')
    .addOption(
      choiceOption(
        '--mode <mode>',
        'live: while the guest runs; cold: saved meanwhile',
        SNAPSHOT_MODES,
      ),
    )
    .addOption(
      choiceOption(
        '--method <method>',
        'of the live mirror; copy needs no undefine',
        MIRROR_METHODS,
      ),
    )
    .option('--disk <target>', 'as vda (default: the root disk; repeatable)', collect)
    .option('--all-disks', 'every disk, as at one point in time, in one image')
    .option('--volume-snapshots', 'not the data, but snapshots that the storage pools make')
    .addOption(
      choiceOption(
        '--quiesce <policy>',
        'freeze the file systems for the point in time',
        QUIESCE_POLICIES,
      ),
    )
    .option(
      '--from-snapshot <name>',
      'publish a snapshot that the domain has, internal or external',
    )
    .option('--bandwidth <MiB/s>', 'cap of the mirror; 0 is none', wholeNumber)
    .option('--upload-rate <MiB/s>', 'cap of what goes to a bucket; 0 is none', wholeNumber)
    .option(
      '--work-dir <dir>',
      'where delta and image are written (default: in the state directory)',
    )
    .option(
      '-c, --connect <uri>',
      'libvirt on this host (default: LIBVIRT_DEFAULT_URI, else qemu:///system)',
    )
    .option('-n, --dry-run', 'print what would be done, and why; touch nothing');
}

async function snapshot(
  domain: string,
  flags: SnapshotFlags,
  context: CommandContext,
): Promise<Product> {
  const { config, signal, onEvent } = context;
  const options = { ...toOptions(domain, flags, config.workDir), signal, onEvent };
  if (flags.volumeSnapshots === true) {
    const { snapshotVolumes } = await import('../snapshot-volumes.ts');
    return snapshotVolumes(options, { dryRun: flags.dryRun === true }, context);
  }
  const { createSnapshot, planSnapshot } = await import('../../snapshot.ts');
  if (flags.dryRun === true) {
    const plan = await planSnapshot(options, config);
    const { formatPlan } = await import('../plan-view.ts');
    return { text: formatPlan(plan), json: { plan } };
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
