// Which images of a line a retention policy keeps. Pure.
import type { ImageRecord } from './image.ts';
import { dataObjects, targetOf } from './image-objects.ts';
import { usage } from './names.ts';

/** How many of each kind are kept; what is left out keeps none. Days, weeks, months are UTC's. */
export interface RetentionPolicy {
  last?: number | undefined;
  daily?: number | undefined;
  /** ISO weeks. */
  weekly?: number | undefined;
  monthly?: number | undefined;
}

export interface Kept {
  image: ImageRecord;
  /** As `last`, `daily`; none where the policy does not keep it. */
  reasons: string[];
}

const PERIODS: Readonly<Record<keyof RetentionPolicy, (image: ImageRecord) => string>> = {
  last: ({ id }) => id,
  daily: ({ created_at }) => created_at.slice(0, 10),
  weekly: ({ created_at }) => isoWeek(new Date(created_at)),
  monthly: ({ created_at }) => created_at.slice(0, 7),
};

/**
 * The newest image of each of the so many last periods that have one, and as in restic the oldest
 * image of all, while a rule still has places left. The newest image comes first in the result.
 * @see https://restic.readthedocs.io/en/stable/060_forget.html
 */
export function applyRetention(images: readonly ImageRecord[], policy: RetentionPolicy): Kept[] {
  const sorted = [...images].sort(
    (a, b) => b.created_at.localeCompare(a.created_at) || b.id.localeCompare(a.id),
  );
  const line: Kept[] = sorted.map((image) => ({ image, reasons: [] }));
  for (const rule of Object.keys(PERIODS) as (keyof RetentionPolicy)[])
    applyRule(line, rule, policy[rule] ?? 0);
  return line;
}

/** @throws USAGE where the policy would keep nothing at all. */
export function assertPolicy(policy: RetentionPolicy): void {
  if (Object.values(policy).some((count) => count !== undefined && count > 0)) return;
  throw usage('No rule says which images to keep; give at least one, as --keep-last 5.');
}

/**
 * Images that follow each other: those of the same disks of one domain under one name (the time that a
 * snapshot's default name ends with left out), and others by their name.
 */
export function lineOf(image: ImageRecord): string {
  const bare = image.name.replace(DEFAULT_NAME_TIME, '');
  const { instance_uuid: source = '' } = image.properties;
  const targets = dataObjects(image).map(targetOf).sort().join(' ');
  return JSON.stringify([source, source === '' ? '' : targets, bare]);
}

/** What the default name of a snapshot has after the domain's: `-2026-11-21T081003Z`. */
const DEFAULT_NAME_TIME = /-\d{4}-\d\d-\d\dT\d{6}Z$/;

function applyRule(line: readonly Kept[], rule: keyof RetentionPolicy, count: number): void {
  let left = count;
  let period: string | undefined;
  for (const [index, kept] of line.entries()) {
    if (left === 0) return;
    const its = PERIODS[rule](kept.image);
    if (its === period && index !== line.length - 1) continue;
    kept.reasons.push(its === period ? `oldest ${rule}` : rule);
    period = its;
    left -= 1;
  }
}

/** `2026-W07`. The week belongs to the year that its Thursday is in. */
function isoWeek(date: Date): string {
  const day = date.getUTCDay() || 7;
  const thursday = new Date(
    Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate() + 4 - day),
  );
  const year = thursday.getUTCFullYear();
  const days = (thursday.getTime() - Date.UTC(year, 0, 1)) / 86_400_000;
  return `${year}-W${String(Math.floor(days / 7) + 1).padStart(2, '0')}`;
}
