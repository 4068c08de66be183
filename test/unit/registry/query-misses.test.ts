// A list without images says which of its filters nothing has passed.
import { expect, it } from 'vitest';
import { selectPage } from '#built/registry/catalog/list-query.js';
import type { ListQuery } from '#built/registry/catalog/query-parts.js';
import { activeRecord } from './record.ts';

const id = (n: number) => `00000000-0000-4000-8000-00000000000${n}`;
const web = activeRecord({ id: id(1), name: 'web', tags: ['nginx'], size: 10, owner: 'me' });
const db = activeRecord({ id: id(2), name: 'db', tags: ['sql'], size: 20 });
const killed = activeRecord({ id: id(3), name: 'gone', status: 'killed', tags: ['old'] });
const all = [web, db, killed];

async function missOf(query: ListQuery, images = all): Promise<string | null> {
  async function* records() {
    yield images;
  }
  return (await selectPage(records(), query)).miss;
}

it.each<[ListQuery, string | null]>([
  [{ name: 'web' }, null],
  [{ name: 'web', tags: ['php'] }, 'no image has the tag "php"'],
  [{ name: 'ftp', tags: ['php'] }, 'no image has the name "ftp", or the tag "php"'],
  [
    { name: 'web', tags: ['sql'] },
    'no image has all of these, though each is in use: the name "web", the tag "sql"',
  ],
  [{ tags: ['old'] }, 'no image has the tag "old"'],
  [{ properties: { os: 'a\u001b' } }, 'no image has the property "os=a\\\\u001b"'],
  [{ sizeMin: 21 }, 'no image has a size of at least 21 bytes'],
  [{ status: ['queued', 'saving'] }, 'no image has the status queued or saving'],
  [{ hidden: true }, 'there is no hidden image'],
  [{ createdAfter: Date.UTC(2090, 0) }, 'no image has a creation from 2090-01-01T00:00:00.000Z'],
])('%j: %s', async (query, expected) => {
  expect(await missOf(query)).toBe(expected);
});

it('reports that there is no image at all', async () => {
  expect(await missOf({}, [])).toBe('there is no image');
  expect(await missOf({ name: 'x' }, [killed])).toBe('there is no image');
});
