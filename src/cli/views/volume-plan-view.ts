// The plan of a volume snapshot as a page for people. Pure.
import type { PlannedVolume, VolumePlan } from '../../capture/volumes/volume-plan.ts';
import { formatBytes, printable } from './format.ts';
import { obstaclePairs } from './plan-view.ts';
import { formatPairs } from './table.ts';

/** Returns what `volume-snapshot --dry-run` prints. */
export function formatVolumePlan(plan: VolumePlan): string {
  const { domain, volumes, quiesce, image, registry, obstacles } = plan;
  const persistence = domain.persistent ? 'persistent' : 'transient';
  const pairs: [string, string][] = [
    ['Domain', `${domain.name} (${domain.uuid}), ${domain.state}, ${persistence}`],
    ...volumes.map((volume): [string, string] => ['Volume', volumeLine(volume)]),
    ['Quiesce', quiesce],
    ['Image', `${image.name}, with no data of its own`],
    ['Registry', registry],
    ...obstaclePairs(obstacles),
  ];
  return formatPairs(pairs.map(([name, value]) => [name, printable(value)]));
}

function volumeLine(volume: PlannedVolume): string {
  const { target, pool, format, virtualSize, snapshot, overlay } = volume;
  const what = `${target}: ${pool}/${volume.volume} (${format}), ${formatBytes(virtualSize)}`;
  return overlay === null
    ? `${what}; its snapshot becomes ${pool}/${snapshot}`
    : `${what}; it becomes the snapshot, and the domain continues in ${overlay}`;
}
