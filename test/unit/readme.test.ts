// The README keeps its word: commands, flags, keys, scripts, links and the library's names exist.
import { existsSync, readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { buildProgram } from '#built/cli/program.js';
import { listSettings, readSchema } from '#built/config/schema.js';
import { readTopic, TOPICS } from '#built/explain/topics.js';

const root = new URL('../../', import.meta.url).pathname;
const readme = readFileSync(`${root}README.md`, 'utf8');
const program = buildProgram(() => undefined);

/** Documents beside the README that name scripts, files and each other. */
const DOCUMENTS = [
  'README.md',
  'CHANGELOG.md',
  '.github/CONTRIBUTING.md',
  'test/README.md',
  'scripts/README.md',
];

function section(title: string): string {
  const text = readme.split(`\n## ${title}\n`)[1]?.split('\n## ')[0];
  expect(text, title).toBeDefined();
  return text ?? '';
}

function allCommands(command: Command): Command[] {
  const below = command.createHelp().visibleCommands(command);
  return [command, ...below.flatMap(allCommands)];
}

test('the README has 250 lines at most, and begins with the demo and the tests', () => {
  const lines = readme.split('\n');
  expect(lines.length).toBeLessThanOrEqual(251);
  const top = lines.slice(0, 40);
  expect(top).toContain('scripts/demo.sh');
  expect(top).toContain('scripts/test.sh');
});

test('the table of commands lists exactly the commands of the program', () => {
  const rows = [...section('Commands').matchAll(/^\| `([a-z-]+)[ `]/gm)].map(([, name]) => name);
  const commands = program.createHelp().visibleCommands(program);
  const names = commands.map((command) => command.name()).filter((name) => name !== 'help');
  expect(rows.sort()).toEqual(names.sort());
});

test('every command line of the README names a command and flags that exist', () => {
  const commands = allCommands(program);
  const flags = commands.flatMap(({ options }) => options.map(({ long }) => long));
  const names = commands.map((command) => command.name());
  for (const [, name] of readme.matchAll(/(?:^|`|\()virt-publish ([a-z-]+)/gm))
    expect(names).toContain(name);
  const foreign = ['--global', '--inactive', '--help'];
  for (const [flag] of readme.matchAll(/(?<![\w-])--[a-z][a-z0-9-]+/g))
    expect([...flags, ...foreign]).toContain(flag);
});

test('every key of the configuration table is a key of the schema', () => {
  const keys = listSettings(readSchema()).map(({ path }) => path.join('.'));
  const rows = [...section('Configuration').matchAll(/^\| (`.+?) +\|/gm)];
  const named = rows.flatMap(([, cell = '']) => [...cell.matchAll(/`([\w.]+)`/g)]);
  expect(named.length).toBeGreaterThan(5);
  for (const [, key] of named) expect(keys).toContain(key);
});

test('the library example is that of the topic, and imports what the library exports', async () => {
  const [, example = ''] = /```ts\n([\s\S]*?)```/.exec(section('Library')) ?? [];
  expect(readTopic('library')).toContain(example);
  const library = await import('virt-publish');
  const [, names = ''] = /import \{ (.+) \}/.exec(example) ?? [];
  for (const name of names.split(', ')) expect(Object.keys(library)).toContain(name);
});

test('every topic is linked', () => {
  for (const topic of TOPICS.filter((name) => !['errors', 'library'].includes(name)))
    expect(section('More')).toContain(`src/explain/${topic}.md`);
});

test.each(DOCUMENTS)('%s names scripts, folders and documents that exist', (document) => {
  const text = readFileSync(`${root}${document}`, 'utf8');
  const folder = document.includes('/') ? document.replace(/[^/]*$/, '') : '';
  for (const [, link = ''] of text.matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g))
    expect(existsSync(`${root}${folder}${link}`), link).toBe(true);
  for (const [path] of text.matchAll(/(?<![\w/.])(?:scripts|src|test|config)\/[\w./-]*[\w]/g))
    expect(existsSync(`${root}${path.replace(/NAME/, 'status')}`), path).toBe(true);
});
