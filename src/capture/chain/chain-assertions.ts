// The checks of a chain before a block job: nothing is changed if one fails.
import { dirname } from 'node:path';
import type { Config } from '../../config/config.ts';
import { PublishError } from '../../core/errors.ts';
import { virshDomain } from '../../core/shell-quote.ts';
import type { DiskChain } from '../../domain/chain/read-chain.ts';
import { findUses, type Use } from '../../domain/chain/uses.ts';
import { assertDiskIdle } from '../../domain/inspect.ts';
import { assertEnoughSpace, measureSpace } from '../../domain/space.ts';
import type { Domain } from '../../libvirt/domain.ts';
import type { Host } from '../../libvirt/host.ts';
import type { ChainPlan } from './plan-chain.ts';

/** @throws PublishError CHAIN, DOMAIN_BUSY if no block job can be started on the disk */
export async function assertReady(domain: Domain, chain: DiskChain): Promise<void> {
  const { active, source, obstacle, disk } = chain;
  const { name } = domain;
  if (!active) {
    fail(
      `cannot shorten the chain of domain ${name}: it is off`,
      `start it first, paused is enough: virsh start ${virshDomain(domain)} --paused`,
    );
  }
  if (obstacle !== null) fail(obstacle);
  if (source.readonly || source.shareable) {
    fail(
      `cannot shorten the chain of disk ${disk.target} of domain ${name}: it is read-only or shareable`,
    );
  }
  if (source.volume !== null) {
    fail(
      `cannot shorten the chain of disk ${disk.target} of domain ${name}: it is a volume of pool ${source.volume.pool}, and would be a plain file afterwards`,
      'change the disk of the domain to the file itself first',
    );
  }
  await assertDiskIdle(domain, source, active);
  const checkpoints = await domain.listCheckpoints();
  if (checkpoints.length === 0) return;
  const names = checkpoints.map((checkpoint) => checkpoint.name).join(', ');
  fail(
    `domain ${name} has checkpoints (${names}), whose bitmaps are in the layers`,
    'delete them with virsh checkpoint-delete, then make the next backup a full one',
  );
}

/**
 * NOTE: an internal snapshot reads missing clusters from the backing file of its layer. A pull removes
 * the backing file of the active layer, and QEMU does not reject that.
 * @throws PublishError CHAIN if internal snapshots would be lost or damaged
 */
export function assertNoSnapshotLost({ kind, target, into, removed }: ChainPlan): void {
  const losing = (kind === 'pull' ? [into] : removed).find(({ snapshots }) => snapshots.length > 0);
  if (!losing) return;
  fail(
    `a ${kind} would ${kind === 'pull' ? 'damage' : 'lose'} the internal snapshots (${losing.snapshots.join(', ')}) in layer ${losing.path} of disk ${target}`,
    'publish them with snapshot --from-snapshot, or delete them, first',
  );
}

/**
 * A commit changes its base, and every other reader of the base or of a layer above it reads wrong data
 * from then on. The domain's own `snapshot` does not count, since it will be deleted. Unknown uses count
 * only if the base `heldStill` long enough for another client to rely on it.
 * @throws PublishError CHAIN_IN_USE with all users
 */
export async function assertLayersUnused(
  host: Host,
  { domain, layers }: DiskChain,
  { kind, target, modified, removed }: ChainPlan,
  { snapshot, heldStill = true }: { snapshot?: string; heldStill?: boolean } = {},
): Promise<void> {
  if (modified.length === 0) return;
  const files = modified.map(({ path }) => path);
  const own = { uuid: domain.uuid, target, layers: layers.map(({ path }) => path), snapshot };
  const removedPaths = new Set(removed.map(({ path }) => path));
  // An overlay that stays in the chain remains valid for its snapshot.
  const uses = (await findUses(host, files, own)).filter(
    ({ how, path }) =>
      (how !== 'overlay' || removedPaths.has(path)) && (how !== 'unknown' || heldStill),
  );
  if (uses.length === 0) return;
  const list = [...new Set(uses.map(describeUse))].join('; ');
  throw new PublishError(
    'CHAIN_IN_USE',
    `the ${kind} on disk ${target} of domain ${domain.name} would change layers in use: ${list}`,
    {
      step: 'inspect',
      hint: `choose another --base or --top, use chain pull, or end that use first (${waysToEnd(uses, domain)})`,
    },
  );
}

function describeUse({ path, by, how, imageId, unknown }: Use): string {
  if (unknown) return `the files that ${by} reads are unknown (${unknown.what})`;
  if (imageId !== undefined) return `${path} is part of image ${imageId} of virt-publish (${by})`;
  return `${path} is ${how === 'reads' ? 'used by' : 'held by'} ${by}`;
}

function waysToEnd(uses: readonly Use[], domain: { name: string; uuid: string }): string {
  const forget = `virsh snapshot-delete ${virshDomain(domain)} SNAPSHOT --metadata`;
  const ways = uses.flatMap(({ how, imageId, unknown }) => {
    if (unknown) return unknown.hint;
    if (how === 'reads') return [];
    return imageId === undefined
      ? `delete an unused snapshot: ${forget}`
      : `delete an unused image, virt-publish delete ${imageId}, then its snapshot: ${forget}`;
  });
  return ['remove an unused overlay', ...new Set(ways)].join('; ');
}

/** Checks the space for the largest possible job; a block device has its space already. */
export async function assertEnoughRoom(
  { kind, into, removed }: ChainPlan,
  { reserve }: Pick<Config, 'reserve'>,
  alternative = OTHER_BASE,
): Promise<void> {
  const moved = removed.reduce((sum, { actualSize }) => sum + actualSize, 0);
  const needed = Math.min(moved, into.virtualSize);
  const need = { directory: dirname(into.path), purpose: `the ${kind}`, needed };
  if (isOnFileSystem(into.path)) {
    assertEnoughSpace(await measureSpace([need], reserve), alternative);
  }
}

export const OTHER_BASE = 'shorten less of the chain with --base';

export function isOnFileSystem(path: string): boolean {
  return !path.startsWith('/dev/');
}

function fail(message: string, hint?: string): never {
  throw new PublishError('CHAIN', message, {
    step: 'inspect',
    ...(hint === undefined ? {} : { hint }),
  });
}
