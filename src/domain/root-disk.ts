// The order of disks, the root disk first, and the reason for it. Pure.
import type { DiskDescription } from '../libvirt/xml/domain-xml.ts';

type Ranked = Pick<DiskDescription, 'bootOrder' | 'readonly' | 'seed'>;

/**
 * Sorts disks: those that may have the guest's system first, by boot order, then by their order in the
 * domain. A read-only disk or a seed is first only if there is no other.
 *
 * NOTE: `<os><boot dev='hd'/>` adds no information: libvirt adds it to each domain without a boot
 * order, and it means the first disk.
 */
export function inRootOrder<T>(items: readonly T[], diskOf: (item: T) => Ranked): T[] {
  const ranked = items.map((item) => ({ item, disk: diskOf(item) }));
  // The sort is stable.
  ranked.sort((a, b) => rankOf(a.disk) - rankOf(b.disk) || orderOf(a.disk) - orderOf(b.disk));
  return ranked.map(({ item }) => item);
}

/**
 * The guest boots from a disk with a boot order, even if it is read-only: only a writable disk with a
 * boot order ranks higher.
 */
function rankOf({ bootOrder, readonly, seed }: Ranked): number {
  if (seed !== null) return readonly ? 5 : 4;
  return (bootOrder === null ? 2 : 0) + (readonly ? 1 : 0);
}

function orderOf({ bootOrder }: Ranked): number {
  return bootOrder ?? Number.MAX_SAFE_INTEGER;
}

/**
 * Returns a message with the chosen root disk and the reason for each disk that precedes it in the
 * domain or in the boot order. Null if none does.
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
  return `${root.target} is taken for the root disk: ${reasons}; choose another with --disk`;
}

function reasonOf({ seed, readonly, bootOrder }: DiskDescription): string {
  if (seed !== null) return `is ${seed}`;
  if (readonly) return 'is read-only';
  return bootOrder === null ? 'has no boot order' : 'comes later in the boot order';
}
