// The plan of a snapshot as a page for people. Pure.
import { PublishError } from '../../core/errors.ts';
import type { PlanObstacle } from '../../core/model.ts';
import type { SnapshotPlan } from '../../operations/snapshot/snapshot-types.ts';
import type { Product } from '../run-command.ts';
import { formatBytes, printable } from './format.ts';
import { formatPairs } from './table.ts';

/** What `--dry-run` prints. */
export function formatPlan(plan: SnapshotPlan): string {
  const { domain, image } = plan;
  const persistence = domain.persistent ? 'persistent' : 'transient';
  const autostart = domain.autostart ? ', autostart' : '';
  const compressed = image.compress === 'none' ? '' : `, compressed with ${image.compress}`;
  const pairs: [string, string][] = [
    ['Domain', `${domain.name} (${domain.uuid}), ${domain.state}, ${persistence}${autostart}`],
    ...plan.disks.flatMap(diskPairs),
    ...(plan.rootReason === null ? [] : [['Root disk', plan.rootReason] as [string, string]]),
    ['Mode', `${plan.mode}: ${plan.modeReason}`],
    ...(plan.method === null ? [] : [methodPair(plan.method, plan.methodReason)]),
    ['Quiesce', plan.quiesce + (plan.pauses ? PAUSES : '')],
    ...(plan.nvram === null
      ? []
      : [['NVRAM', `${plan.nvram} is published as nvram.fd`] as [string, string]]),
    ['Undefines', listed(plan.undefines)],
    ['Detaches', listed(plan.detaches)],
    ['Image', `${image.name}, ${image.diskFormat}${compressed}`],
    ...(plan.sysprep === null ? [] : [sealPair(plan.sysprep)]),
    ['Registry', plan.registry],
    ...plan.space.map((entry): [string, string] => ['Space', spaceLine(entry)]),
    ...obstaclePairs(plan.obstacles),
  ];
  return formatPairs(pairs.map(([name, value]) => [name, printable(value)]));
}

/** A line for each obstacle, and one for its hint. */
export function obstaclePairs(obstacles: readonly PlanObstacle[]): [string, string][] {
  return obstacles.flatMap(({ code, message, hint }): [string, string][] => [
    ['Obstacle', `${message} (${code})`],
    ['  hint', hint],
  ]);
}

/** Returns the failure that `--dry-run` ends with: the first obstacle, with the messages of all. */
export function refusalOf({
  obstacles,
}: Pick<SnapshotPlan, 'obstacles'>): Pick<Product, 'failure'> {
  const [first] = obstacles;
  if (first === undefined) return {};
  const message = `the run would fail: ${obstacles.map((each) => each.message).join('; ')}`;
  const hint = [...new Set(obstacles.map((each) => each.hint))].join('; ');
  return { failure: new PublishError(first.code, message, { step: 'space', hint }) };
}

const PAUSES = ': it is not frozen, so the guest is paused for the point in time';

function diskPairs(disk: SnapshotPlan['disks'][number]): [string, string][] {
  return [
    ['Disk', `${disk.target} on ${disk.bus}, ${formatBytes(disk.virtualSize)}`],
    ['Source', `${disk.source} (${disk.format})`],
    ...disk.backingChain.map(({ path, format }): [string, string] => [
      '  on top of',
      `${path} (${format})`,
    ]),
  ];
}

function methodPair(method: string, reason: string | null): [string, string] {
  return ['Method', reason === null ? method : `${method}: ${reason}`];
}

function sealPair(operations: string): [string, string] {
  return ['Sealed', `by virt-sysprep: ${operations}`];
}

function listed(items: readonly string[]): string {
  return items.length === 0 ? 'nothing' : items.join(', ');
}

function spaceLine({
  directory,
  purpose,
  needed,
  available,
}: SnapshotPlan['space'][number]): string {
  const verdict = needed <= available ? '' : ': too little';
  return `${purpose} in ${directory}: needs up to ${formatBytes(needed)}, ${formatBytes(available)} to spare${verdict}`;
}
