// The flags of `virt-publish snapshot`: what the image is to be, and how it is taken.
import type { Command } from 'commander';
import {
  COMPRESSIONS,
  MIRROR_METHODS,
  QUIESCE_POLICIES,
  SNAPSHOT_MODES,
  TARGET_FORMATS,
} from '../../core/model.ts';
import { addImageOptions } from '../image-options.ts';
import {
  CONNECT,
  choiceOption,
  collect,
  hashOption,
  Option,
  WORK_DIR,
  wholeNumber,
  withDefault,
} from '../options.ts';
import { rateValue, wholeRateValue } from '../values.ts';

export function addSnapshotOptions(command: Command): void {
  addDataOptions(addImageOptions(command));
  addCaptureOptions(command);
}

function addDataOptions(command: Command): void {
  command
    .addOption(
      choiceOption(
        '--format <format>',
        withDefault('format of the image', 'snapshot', 'format'),
        TARGET_FORMATS,
      ),
    )
    .addOption(
      choiceOption(
        '--compress <how>',
        withDefault('qcow2 has zstd and zlib, vmdk zlib', 'snapshot', 'compress'),
        COMPRESSIONS,
      ),
    )
    .addOption(hashOption())
    .option('--sysprep', 'seal the image with virt-sysprep; the guest is left as it is')
    .option(
      '--sysprep-operations <list>',
      withDefault('as defaults,-ssh-userdir; implies --sysprep', 'sysprep', 'operations'),
    )
    .option('--with-nvram', "the guest's UEFI variables go along, as nvram.fd")
    .option(
      '--keep <n>',
      'delete older images of the same disks and name beyond n (default: none)',
      wholeNumber,
    );
}

function addCaptureOptions(command: Command): void {
  command
    .optionsGroup('Capture:')
    .addOption(
      choiceOption(
        '--mode <mode>',
        withDefault('live: while the guest runs; cold: saved meanwhile', 'snapshot', 'mode'),
        SNAPSHOT_MODES,
      ),
    )
    .addOption(
      choiceOption(
        '--method <method>',
        withDefault('of the live mirror; copy needs no undefine', 'snapshot', 'method'),
        MIRROR_METHODS,
      ),
    )
    .option('--disk <target>', 'as vda (default: the root disk; repeatable)', collect)
    .option('--all-disks', 'every disk, as at one point in time, in one image')
    .addOption(new Option('--volume-snapshots').hideHelp())
    .addOption(
      choiceOption(
        '--quiesce <policy>',
        withDefault('freeze the file systems for the point in time', 'snapshot', 'quiesce'),
        QUIESCE_POLICIES,
      ),
    )
    .option(
      '--from-snapshot <name>',
      'publish a snapshot that the domain has, internal or external',
    )
    .option(
      '--bandwidth <MiB/s>',
      withDefault('cap of the mirror, as 100 or 100M; 0 is none', 'snapshot', 'bandwidthMib'),
      wholeRateValue,
    )
    .option(
      '--upload-rate <MiB/s>',
      withDefault('cap of what goes to a bucket; 0 is none', 'upload', 'rateMib'),
      rateValue,
    )
    .option(...WORK_DIR)
    .option(...CONNECT)
    .option('-n, --dry-run', 'print what would be done, and why; touch nothing');
}
