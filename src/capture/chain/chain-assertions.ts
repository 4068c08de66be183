// What must not be done to a chain, said before anything is touched.
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

/** @throws PublishError CHAIN, DOMAIN_BUSY where no block job can be begun on the disk. */
export async function assertReady(domain: Domain, chain: DiskChain): Promise<void> {
  const { active, source, obstacle, disk } = chain;
  const { name } = domain;
  if (!active) {
    refuse(
      `domain ${name} is switched off, and a chain is shortened while QEMU has it open; start it first (paused is enough: virsh start ${virshDomain(domain)} --paused)`,
    );
  }
  if (obstacle !== null) refuse(obstacle);
  if (source.readonly || source.shareable) {
    refuse(`disk ${disk.target} of domain ${name} is read-only or shareable, and stays as it is`);
  }
  if (source.volume !== null) {
    refuse(
      `disk ${disk.target} of domain ${name} is a volume of pool ${source.volume.pool}, and would be a mere file afterwards; give the domain the file itself as its disk first`,
    );
  }
  await assertDiskIdle(domain, source, active);
  const checkpoints = await domain.listCheckpoints();
  if (checkpoints.length === 0) return;
  const names = checkpoints.map((checkpoint) => checkpoint.name).join(', ');
  refuse(
    `domain ${name} has checkpoints (${names}), whose bitmaps lie in the layers; delete them first with virsh checkpoint-delete, and make the next backup a full one`,
  );
}

/**
 * NOTE: an internal snapshot reads what it does not have itself through the backing file of its
 * layer. A pull takes that away from the active layer, and nothing in QEMU refuses it.
 * @throws PublishError CHAIN where internal snapshots would be lost or damaged.
 */
export function assertNoSnapshotLost({ kind, target, into, removed }: ChainPlan): void {
  const losing = (kind === 'pull' ? [into] : removed).find(({ snapshots }) => snapshots.length > 0);
  if (!losing) return;
  refuse(
    `layer ${losing.path} of disk ${target} holds internal snapshots (${losing.snapshots.join(', ')}), which a ${kind} would ${kind === 'pull' ? 'damage' : 'lose'}; publish them with snapshot --from-snapshot, or delete them, first`,
  );
}

/**
 * A commit changes its base, and whatever reads that, or a layer above it, reads wrong from then on.
 * `snapshot` of the domain counts for nothing: it is to be forgotten; nor does what nobody can read,
 * where the base `heldStill` for a moment only, and nobody can have come to need it as it is.
 * @throws PublishError CHAIN_IN_USE with everybody who does.
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
  const gone = new Set(removed.map(({ path }) => path));
  // A snapshot's overlay that stays in the chain is still what that snapshot says of it.
  const uses = (await findUses(host, files, own)).filter(
    ({ how, path }) => (how !== 'overlay' || gone.has(path)) && (how !== 'unknown' || heldStill),
  );
  if (uses.length === 0) return;
  const told = [...new Set(uses.map(tell))].join('; ');
  throw new PublishError(
    'CHAIN_IN_USE',
    `the ${kind} on disk ${target} of domain ${domain.name} would change what others need: ${told}. Choose another --base or --top, use chain pull, or end that use first (${cureOf(uses, domain)})`,
    { step: 'inspect' },
  );
}

function tell({ path, by, how, imageId, unknown }: Use): string {
  if (unknown) return `what ${by} reads is not known (${unknown.what})`;
  if (imageId !== undefined) return `${path} is part of image ${imageId} of virt-publish (${by})`;
  return `${path} is ${how === 'reads' ? 'used by' : 'held by'} ${by}`;
}

function cureOf(uses: readonly Use[], domain: { name: string; uuid: string }): string {
  const forget = `virsh snapshot-delete ${virshDomain(domain)} SNAPSHOT --metadata`;
  const cures = uses.flatMap(({ how, imageId, unknown }) => {
    if (unknown) return unknown.cure;
    if (how === 'reads') return [];
    return imageId === undefined
      ? `a snapshot that nobody needs: ${forget}`
      : `an image that nobody needs: delete that first, with virt-publish delete ${imageId}, and then its snapshot: ${forget}`;
  });
  return ['an overlay that nobody needs: remove it', ...new Set(cures)].join('; ');
}

/** Where the data go, and how much at most; a block device has its space already. */
export async function assertEnoughRoom(
  { kind, into, removed }: ChainPlan,
  { reserve }: Pick<Config, 'reserve'>,
  cure = OTHER_BASE,
): Promise<void> {
  const moved = removed.reduce((sum, { actualSize }) => sum + actualSize, 0);
  const needed = Math.min(moved, into.virtualSize);
  const need = { directory: dirname(into.path), purpose: `the ${kind}`, needed };
  if (isOnFileSystem(into.path)) {
    assertEnoughSpace(await measureSpace([need], reserve), cure);
  }
}

export const OTHER_BASE = 'shorten less of the chain at once with --base';

export function isOnFileSystem(path: string): boolean {
  return !path.startsWith('/dev/');
}

function refuse(message: string): never {
  throw new PublishError('CHAIN', message, { step: 'inspect' });
}
