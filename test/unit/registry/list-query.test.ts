// What a query lets pass, in which order, and in what pages.
import { describe, expect, it } from 'vitest';
import { matchesQuery, parseSort, selectPage } from '#built/registry/catalog/list-query.js';
import type { ImageRecord } from '#built/registry/record/image.js';
import { activeRecord } from './record.ts';

const at = (day: string) => `2026-01-${day}T00:00:00.000Z`;

/** As they come from a registry: some at a time. */
async function* records(list: readonly ImageRecord[]) {
  yield list.slice(0, 2);
  yield [];
  yield list.slice(2);
}

describe('a query', () => {
  const image = activeRecord({ created_at: at('10'), updated_at: at('20'), owner: 'me' });
  it.each([
    [{}, true],
    [{ name: 'web' }, true],
    [{ name: 'we' }, false],
    [{ status: ['queued', 'active'] }, true],
    [{ status: ['killed'] }, false],
    [{ tags: ['nginx'] }, true],
    [{ tags: ['nginx', 'other'] }, false],
    [{ properties: { os_distro: 'debian' } }, true],
    [{ properties: { os_distro: 'debian', other: '' } }, false],
    [{ visibility: 'private' }, true],
    [{ visibility: 'public' }, false],
    [{ owner: 'you' }, false],
    [{ diskFormat: 'raw' }, false],
    [{ sizeMin: 10, sizeMax: 10 }, true],
    [{ sizeMin: 11 }, false],
    [{ sizeMax: 9 }, false],
    [{ createdAfter: Date.parse(at('10')), createdBefore: Date.parse(at('11')) }, true],
    [{ createdBefore: Date.parse(at('10')) }, false],
    [{ updatedAfter: Date.parse(at('21')) }, false],
    [{ hidden: true }, false],
  ] as const)('%j: %s', (query, expected) => {
    expect(matchesQuery(image, query)).toBe(expected);
  });

  it('omits hidden, killed and deleted images unless it names them', () => {
    expect(matchesQuery(activeRecord({ os_hidden: true }), {})).toBe(false);
    expect(matchesQuery(activeRecord({ os_hidden: true }), { hidden: true })).toBe(true);
    expect(matchesQuery(activeRecord({ status: 'killed' }), {})).toBe(false);
    expect(matchesQuery(activeRecord({ size: null }), { sizeMin: 0 })).toBe(false);
  });
});

describe('a page', () => {
  const id = (n: number) => `00000000-0000-4000-8000-0000000000${String(n).padStart(2, '0')}`;
  const list = [3, 1, 2, 5, 4].map((n) =>
    activeRecord({ id: id(n), name: `n${n % 2}`, created_at: at('01'), size: n === 3 ? null : n }),
  );
  const numbers = (images: readonly ImageRecord[]) =>
    images.map((each) => Number(each.id.slice(-2)));

  it('is in the requested order, equal images by id, those without a value first', async () => {
    const sorted = async (sort: string) =>
      numbers((await selectPage(records(list), { sort: parseSort(sort) })).images);
    expect(await sorted('id')).toEqual([1, 2, 3, 4, 5]);
    expect(await sorted('id:desc')).toEqual([5, 4, 3, 2, 1]);
    expect(await sorted('name,id:desc')).toEqual([4, 2, 5, 3, 1]);
    expect(await sorted('size')).toEqual([3, 1, 2, 4, 5]);
    expect(numbers((await selectPage(records(list), {})).images)).toEqual([1, 2, 3, 4, 5]);
  });

  it('is followed by the next one until the end, for any length', async () => {
    for (const limit of [1, 2, 3, 4, 5, 6]) {
      const seen: number[] = [];
      let after: ImageRecord | undefined;
      for (;;) {
        const page = await selectPage(
          records(list),
          { limit, sort: parseSort('name:desc') },
          after,
        );
        seen.push(...numbers(page.images));
        expect(page.images.length).toBeLessThanOrEqual(limit);
        if (page.marker === null) break;
        after = page.images.at(-1);
      }
      expect(seen).toEqual([1, 3, 5, 2, 4]);
    }
  });

  it('refuses an unknown order', () => {
    for (const text of ['', 'colour', 'name:up', 'name:asc:desc', 'name,'])
      expect(() => parseSort(text)).toThrowError(expect.objectContaining({ code: 'USAGE' }));
  });
});
