// The README keeps its word: error headings are messages of the source, commands and keys exist.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const root = new URL('../../', import.meta.url).pathname;
const readme = readFileSync(`${root}README.md`, 'utf8');
const source = readdirSync(`${root}src`, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => readFileSync(`${root}src/${path}`, 'utf8'))
  .join('\n');

const headings = [...readme.matchAll(/^### `(.+)`$/gm)].map(([, heading = '']) => heading);

test('there are error headings', () => {
  expect(headings.length).toBeGreaterThan(5);
});

test.each(headings)('the message "%s" is one of the source', (heading) => {
  // A message of the source has `${…}` where the heading has `…`.
  const pieces = heading.split('…').map((piece) => piece.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const message = pieces.join('(?:\\$\\{[^`]*?\\}|[^`\n]*?)');
  expect(source).toMatch(new RegExp(message));
});

test('every command of the table has a file, and every script is there', () => {
  const section = readme.split('## Use')[1]?.split('\n## ')[0] ?? '';
  const commands = [...section.matchAll(/^\| `([a-z]+)[ `]/gm)].map(([, name = '']) => name);
  expect(commands.length).toBeGreaterThan(4);
  for (const name of commands)
    expect(existsSync(`${root}src/cli/commands/${name}.ts`), name).toBe(true);
  for (const [script] of readme.matchAll(/scripts\/[a-z-]+(\.sh)?/g)) {
    expect(existsSync(`${root}${script}`), script).toBe(true);
  }
});

test('every key of the configuration table is in the schema', () => {
  const schema = readFileSync(`${root}config/schema.json`, 'utf8');
  const section = readme.split('## Configuration')[1]?.split('\n## ')[0] ?? '';
  const rows = [...section.matchAll(/^\| (`.+?) \|/gm)].map(([, cell = '']) => cell);
  const keys = rows.flatMap((cell) => [...cell.matchAll(/`([\w.]+)/g)].map(([, key = '']) => key));
  expect(keys.length).toBeGreaterThan(5);
  for (const key of keys) {
    for (const part of key.split('.').filter(Boolean)) expect(schema).toContain(`"${part}"`);
  }
});
