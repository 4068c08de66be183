// Tables fit the terminal: cells are cut first, then the least important columns left out.
import stringWidth from 'string-width';
import { describe, expect, it } from 'vitest';
import { fitTable } from '#built/cli/views/fit-table.js';
import { USUAL_COLUMNS } from '#built/cli/views/image-columns.js';
import { imageTable } from '#built/cli/views/image-table.js';
import { activeRecord } from '../registry/record.ts';

const ID = 'cb53e3c5-f58b-4234-bec9-1eb248c47cd7';
const image = activeRecord({
  ...{ id: ID, name: 'web-server-of-the-shop-in-production' },
  tags: ['nginx', 'production', 'approved'],
  created_at: '2026-11-30T06:54:18.123Z',
});
const form = {
  columns: USUAL_COLUMNS,
  idLength: 8,
  aliases: new Map([[ID, ['web/latest', 'web/stable', 'shop']]]),
};
const widthOf = (text: string) => Math.max(...text.split('\n').map((line) => stringWidth(line)));
const titles = (text: string) => text.split('\n')[0]?.split(/ +/);

describe('the table of images', () => {
  it.each([60, 80, 120])('fits %d columns, with the short id', (width) => {
    const other = { ...image, name: '東京のデータベース'.repeat(3) };
    const table = imageTable([image, other], { ...form, width });
    expect(widthOf(table)).toBeLessThanOrEqual(width);
    expect(table).toMatch(/^cb53e3c5 {2}web-/m);
    expect(titles(table)?.slice(0, 3)).toEqual(['ID', 'NAME', 'STATUS']);
  });

  it('leaves out columns that do not fit, and shows all if they fit', () => {
    const all = ['ID', 'NAME', 'STATUS', 'FORMAT', 'SIZE', 'VIRTUAL', 'CREATED'];
    expect(titles(imageTable([image], { ...form, width: 200 }))).toEqual([
      ...all,
      ...['ALIASES', 'TAGS'],
    ]);
    expect(titles(imageTable([image], { ...form, width: 40 }))).not.toContain('TAGS');
    expect(titles(imageTable([image], { ...form, width: 10 }))).toEqual(['ID', 'NAME']);
  });

  it('shows full ids, exact times in UTC and uncut cells without a terminal', () => {
    const table = imageTable([image], form);
    expect(table).toContain(`${ID}  ${image.name}  active`);
    expect(table).toContain('2026-11-30T06:54:18Z');
    expect(table).toContain('web/latest, web/stable, shop');
    expect(table).toContain('nginx, production, approved');
  });

  it('shows the chosen columns in their order', () => {
    const columns = ['tags', 'id', 'owner', 'updated'] as const;
    const table = imageTable([image], { ...form, columns, isChosen: true, width: 30 });
    expect(titles(table)).toEqual(['TAGS', 'ID', 'OWNER', 'UPDATED']);
    expect(table).toMatch(/^nginx, …/m);
  });
});

it('a column without a least width is never cut', () => {
  const columns = [{ title: 'A' }, { title: 'B', min: 3 }];
  expect(fitTable(columns, [['aaaaaa', 'bbbbbb']], 11)).toBe('A       B\naaaaaa  bb…');
  expect(fitTable(columns, [['aaaaaa', 'b']], 80)).toBe('A       B\naaaaaa  b');
  expect(fitTable(columns, [], 80)).toBe('A  B');
});
