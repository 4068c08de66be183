// The changes that a user can make to an image, and the record that follows. Pure.
import { PublishError } from '../../core/errors.ts';
import type { ImageRecord } from './image.ts';
import { usage } from './names.ts';

/** Fields that are left out do not change. */
export interface ImageChanges
  extends Partial<
    Pick<ImageRecord, 'name' | 'visibility' | 'protected' | 'os_hidden' | 'min_disk' | 'min_ram'>
  > {
  addTags?: readonly string[];
  removeTags?: readonly string[];
  setProperties?: Readonly<Record<string, string>>;
  /** A missing one is no error. */
  removeProperties?: readonly string[];
}

/** @throws USAGE if a tag or property is both set and removed. */
export function applyChanges(record: ImageRecord, changes: ImageChanges): ImageRecord {
  const { addTags = [], removeTags = [], setProperties = {}, removeProperties = [] } = changes;
  assertNotBoth(['tag', '--tag', '--untag'], addTags, removeTags);
  assertNotBoth(
    ['property', '--property', '--remove-property'],
    Object.keys(setProperties),
    removeProperties,
  );
  const { addTags: _a, removeTags: _t, setProperties: _s, removeProperties: _p, ...rest } = changes;
  const kept = Object.entries(record.properties).filter(([key]) => !removeProperties.includes(key));
  const tags = [...record.tags.filter((tag) => !removeTags.includes(tag)), ...addTags];
  return {
    ...record,
    ...rest,
    tags: [...new Set(tags)],
    properties: { ...Object.fromEntries(kept), ...setProperties },
  };
}

/** Returns the record of an active image as `deactivated`, so that readers refuse it. */
export function deactivated(record: ImageRecord, reason: string | null = null): ImageRecord {
  return { ...record, status: 'deactivated', status_reason: reason };
}

/** @throws IMAGE_STATUS unless the image is deactivated, or active already. */
export function reactivated(record: ImageRecord): ImageRecord {
  if (record.status === 'active' || record.status === 'deactivated')
    return { ...record, status: 'active', status_reason: null };
  const message = `image ${record.id} is ${record.status} and cannot become active again; only a deactivated image can`;
  throw new PublishError('IMAGE_STATUS', message, { step: 'registry' });
}

function assertNotBoth(
  [what, give, take]: readonly [string, string, string],
  given: readonly string[],
  taken: readonly string[],
): void {
  const both = given.find((name) => taken.includes(name));
  if (both !== undefined)
    throw usage(
      `the ${what} ${JSON.stringify(both)} is both added and removed`,
      `leave ${give} or ${take} out`,
    );
}
