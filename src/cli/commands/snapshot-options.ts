// The flags of `virt-publish snapshot`: the image, and how it is taken.
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
        withDefault('compression: qcow2 has zstd and zlib, vmdk zlib', 'snapshot', 'compress'),
        COMPRESSIONS,
      ),
    )
    .addOption(hashOption())
    .option('--sysprep', 'seal the image with virt-sysprep; the guest does not change')
    .option(
      '--sysprep-operations <list>',
      withDefault('such as defaults,-ssh-userdir; implies --sysprep', 'sysprep', 'operations'),
    )
    .option('--with-nvram', "publish the guest's UEFI variables too, as nvram.fd")
    .option(
      '--keep <n>',
      'keep the newest n images of the same disks and name, delete older ones (default: keep all)',
      wholeNumber,
    );
}

function addCaptureOptions(command: Command): void {
  command
    .optionsGroup('Capture:')
    .addOption(
      choiceOption(
        '--mode <mode>',
        withDefault('live: the guest runs on; cold: it is saved meanwhile', 'snapshot', 'mode'),
        SNAPSHOT_MODES,
      ),
    )
    .addOption(
      choiceOption(
        '--method <method>',
        withDefault('method of the live mirror; copy needs no undefine', 'snapshot', 'method'),
        MIRROR_METHODS,
      ),
    )
    .option(
      '--disk <target>',
      'target of a disk, such as vda (default: the root disk; repeatable)',
      collect,
    )
    .option('--all-disks', 'every disk, at one point in time, in one image')
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
      withDefault('cap of the mirror, such as 100 or 100M; 0 is none', 'snapshot', 'bandwidthMib'),
      wholeRateValue,
    )
    .option(
      '--upload-rate <MiB/s>',
      withDefault('cap of what goes to a bucket; 0 is none', 'upload', 'rateMib'),
      rateValue,
    )
    .option(...WORK_DIR)
    .option(...CONNECT)
    .option('-n, --dry-run', 'print what would be done, why, and every obstacle; touch nothing');
}
