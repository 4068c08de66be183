// Whether an image needs the volume snapshots that it names.
import { expect, test } from 'vitest';
import { isNeeded } from '#built/capture/volumes/needed-volumes.js';

test('every image needs its volume snapshots, except one killed before it was active', () => {
  const needed = (status: string | null) => isNeeded({ id: 'a1', status }, '/srv/images');
  expect(needed('killed')).toBe(false);
  for (const status of ['active', 'deactivated', 'deleted']) expect(needed(status)).toBe(true);
  const noRecord = () => needed(null);
  expect(noRecord).toThrow('registry /srv/images has no record of image a1');
  expect(noRecord).toThrow(expect.objectContaining({ code: 'REGISTRY', retryable: true }));
});
