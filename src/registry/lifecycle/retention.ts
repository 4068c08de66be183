// Which images of a line a retention policy keeps. Pure.
import type { ImageRecord } from '../record/image.ts';
import { dataObjects, targetOf } from '../record/image-objects.ts';
import { usage } from '../record/names.ts';

/** How many images each rule keeps; a missing rule keeps none. Days, weeks and months are in UTC. */
export interface RetentionPolicy {
  last?: number | undefined;
  daily?: number | undefined;
  /** ISO weeks. */
  weekly?: number | undefined;
  monthly?: number | undefined;
}

export interface Kept {
  image: ImageRecord;
  /** For example `last`, `daily`; empty if the policy does not keep it. */
  reasons: string[];
  /** It was created after it was stored, which cannot be true. */
  wrongDate: boolean;
}

/** An image on a line of time, in ms, and what keeps it there. */
interface Dated {
  image: ImageRecord;
  at: number;
  reasons: string[];
}

const PERIODS: Readonly<Record<keyof RetentionPolicy, (dated: Dated) => string>> = {
  last: ({ image }) => image.id,
  daily: ({ at }) => new Date(at).toISOString().slice(0, 10),
  weekly: ({ at }) => isoWeek(new Date(at)),
  monthly: ({ at }) => new Date(at).toISOString().slice(0, 7),
};

/** Two clocks may differ by so much: S3 itself refuses a request that is further off. */
const SKEW_MS = 15 * 60_000;

/**
 * For each rule, keeps the newest image of each of the last periods that have one. Like restic, it
 * keeps the oldest image of all if a rule has places left. The newest image comes first in the
 * result.
 *
 * `storedAt`: when the images came into the store, in ms on its own clock, as far as that is known.
 * `created_at` is from the clock of some host. So the policy is applied on both clocks, and an image
 * is deleted only if neither keeps it. An image that was
 * created after it was stored has a date that cannot be true: it takes no place on its own clock, and
 * is kept.
 * @see https://restic.readthedocs.io/en/stable/060_forget.html
 */
export function applyRetention(
  images: readonly ImageRecord[],
  policy: RetentionPolicy,
  storedAt: ReadonlyMap<string, number> = new Map(),
): Kept[] {
  const line = images.map((image): Dated => ({ image, reasons: [], at: createdAt(image) }));
  line.sort(newestFirst);
  const isWrong = ({ image, at }: Dated) => at > (storedAt.get(image.id) ?? Infinity) + SKEW_MS;
  applyRules(
    line.filter((dated) => !isWrong(dated)),
    policy,
  );
  const stored = line.map((dated): Dated => {
    return { image: dated.image, reasons: [], at: storedAt.get(dated.image.id) ?? dated.at };
  });
  // The sort is stable: images with equal times keep their order.
  stored.sort((a, b) => b.at - a.at);
  applyRules(stored, policy);
  const byStore = new Map(stored.map(({ image, reasons }) => [image.id, reasons]));
  return line.map((dated) => {
    const { image, reasons } = dated;
    if (isWrong(dated)) return { image, reasons: [describeWrong(image)], wrongDate: true };
    if (reasons.length > 0) return { image, reasons, wrongDate: false };
    const others = (byStore.get(image.id) ?? []).map((reason) => `${reason} ${BY_STORE}`);
    return { image, reasons: others, wrongDate: false };
  });
}

const BY_STORE = "by the registry's clock";

function describeWrong({ created_at }: ImageRecord): string {
  return `its date (${created_at}) is later than the registry has had it: the clock of its host was wrong`;
}

function createdAt({ created_at }: ImageRecord): number {
  return Date.parse(created_at);
}

function newestFirst(a: Dated, b: Dated): number {
  return b.at - a.at || b.image.id.localeCompare(a.image.id);
}

function applyRules(line: readonly Dated[], policy: RetentionPolicy): void {
  for (const rule of Object.keys(PERIODS) as (keyof RetentionPolicy)[])
    applyRule(line, rule, policy[rule] ?? 0);
}

/** @throws USAGE if the policy would keep nothing at all. */
export function assertPolicy(policy: RetentionPolicy): void {
  if (Object.values(policy).some((count) => count !== undefined && count > 0)) return;
  throw usage('no rule says which images to keep', 'give at least one, as --keep-last 5');
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

/** The suffix of a snapshot's default name, after the domain's name: `-2026-11-21T081003Z`. */
const DEFAULT_NAME_TIME = /-\d{4}-\d\d-\d\dT\d{6}Z$/;

function applyRule(line: readonly Dated[], rule: keyof RetentionPolicy, count: number): void {
  let left = count;
  let period: string | undefined;
  for (const [index, kept] of line.entries()) {
    if (left === 0) return;
    const its = PERIODS[rule](kept);
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
