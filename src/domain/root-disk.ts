// The order in which disks count: the root disk first, and why. Pure.
import type { DiskDescription } from '../libvirt/xml/domain-xml.ts';

type Ranked = Pick<DiskDescription, 'bootOrder' | 'readonly' | 'seed'>;

/**
 * Disks that a guest could have its system on come first, by boot order, then as the domain has
 * them; a read-only disk or a seed is first only if there is no other.
 *
 * NOTE: `<os><boot dev='hd'/>` says no more than the domain's own order: libvirt adds it to each
 * domain that has no order of its own, and it means the first disk, whatever that is.
 */
export function inRootOrder<T>(items: readonly T[], diskOf: (item: T) => Ranked): T[] {
  const ranked = items.map((item) => ({ item, disk: diskOf(item) }));
  // The sort is stable.
  ranked.sort((a, b) => rankOf(a.disk) - rankOf(b.disk) || orderOf(a.disk) - orderOf(b.disk));
  return ranked.map(({ item }) => item);
}

/**
 * A disk that is ordered is booted from, though it may be read-only: only one that is ordered and
 * writable goes before it.
 */
function rankOf({ bootOrder, readonly, seed }: Ranked): number {
  if (seed !== null) return readonly ? 5 : 4;
  return (bootOrder === null ? 2 : 0) + (readonly ? 1 : 0);
}

function orderOf({ bootOrder }: Ranked): number {
  return bootOrder ?? Number.MAX_SAFE_INTEGER;
}

/**
 * Words for people: which disk is taken, and which ones that stand before it in the domain or in the
 * boot order were passed over, with the reason of each. Null if there are none.
 */
export function describeRoot(disks: readonly DiskDescription[]): string | null {
  const candidates = disks.filter(({ device }) => device === 'disk');
  const [root] = inRootOrder(candidates, (disk) => disk);
  if (!root) return null;
  const place = candidates.indexOf(root);
  const passed = candidates.filter(
    (disk, index) => disk !== root && (index < place || orderOf(disk) < orderOf(root)),
  );
  if (passed.length === 0) return null;
  const reasons = passed.map((disk) => `${disk.target} ${reasonOf(disk)}`).join(', ');
  return `${root.target} is taken for the root disk: ${reasons}; name another with --disk`;
}

function reasonOf({ seed, readonly, bootOrder }: DiskDescription): string {
  if (seed !== null) return `is ${seed}`;
  if (readonly) return 'is read-only';
  return bootOrder === null ? 'has no boot order' : 'comes later in the boot order';
}
