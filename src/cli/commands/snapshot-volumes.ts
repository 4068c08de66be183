// `virt-publish snapshot --volume-snapshots`: the volumes of a domain, in their pools.
import type { PlannedVolume, VolumePlan } from '../../capture/volumes/volume-plan.ts';
import type { SnapshotOptions } from '../../operations/snapshot/snapshot-types.ts';
import type { CommandContext, Product } from '../run-command.ts';
import { formatBytes, printable } from '../views/format.ts';
import { refusalOf } from '../views/plan-view.ts';
import { formatPairs } from '../views/table.ts';

/** What is about an image's own data, which such an image has not. */
const OF_DATA: readonly (readonly [keyof SnapshotOptions, string])[] = [
  ['mode', '--mode'],
  ['method', '--method'],
  ['disk', '--disk'],
  ['allDisks', '--all-disks'],
  ['format', '--format'],
  ['compress', '--compress'],
  ['hash', '--hash'],
  ['bandwidthMib', '--bandwidth'],
  ['uploadRateMib', '--upload-rate'],
  ['keep', '--keep'],
  ['fromSnapshot', '--from-snapshot'],
  ['withNvram', '--with-nvram'],
  ['sysprep', '--sysprep'],
];

/** @throws PublishError USAGE where a flag has no meaning for it; as `createVolumeSnapshot`. */
export async function snapshotVolumes(
  options: SnapshotOptions,
  { dryRun }: { dryRun: boolean },
  { config }: CommandContext,
): Promise<Product> {
  await assertNoDataFlags(options);
  const { createVolumeSnapshot, planVolumeSnapshot } = await import(
    '../../operations/volume-snapshot/volume-snapshot.ts'
  );
  if (dryRun) {
    const plan = await planVolumeSnapshot(options, config);
    return { text: formatVolumePlan(plan), json: { plan }, ...refusalOf(plan) };
  }
  const result = await createVolumeSnapshot(options, config);
  return { text: result.image.id, json: { ...result } };
}

async function assertNoDataFlags(options: SnapshotOptions): Promise<void> {
  const [, flag] = OF_DATA.find(([key]) => options[key] !== undefined) ?? [];
  if (flag === undefined) return;
  const { PublishError } = await import('../../core/errors.ts');
  const message = `${flag} is about an image's own data, and with --volume-snapshots it has none: leave one of them out`;
  throw new PublishError('USAGE', message, { step: 'config' });
}

/** What `--dry-run` prints. */
export function formatVolumePlan({
  domain,
  volumes,
  quiesce,
  image,
  registry,
}: VolumePlan): string {
  const persistence = domain.persistent ? 'persistent' : 'transient';
  const pairs: [string, string][] = [
    ['Domain', `${domain.name} (${domain.uuid}), ${domain.state}, ${persistence}`],
    ...volumes.map((volume): [string, string] => ['Volume', volumeLine(volume)]),
    ['Quiesce', quiesce],
    ['Image', `${image.name}, with no data of its own`],
    ['Registry', registry],
  ];
  return formatPairs(pairs.map(([name, value]) => [name, printable(value)]));
}

function volumeLine({
  target,
  pool,
  volume,
  format,
  virtualSize,
  snapshot,
  overlay,
}: PlannedVolume): string {
  const what = `${target}: ${pool}/${volume} (${format}), ${formatBytes(virtualSize)}`;
  return overlay === null
    ? `${what}; a snapshot of it becomes ${pool}/${snapshot}`
    : `${what}; it is the snapshot, and the domain goes on in ${overlay}`;
}
