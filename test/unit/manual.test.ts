// The man pages: one for each command and topic, with every flag, and without a warning of man.
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { expect, it, test } from 'vitest';
import { buildProgram } from '#built/cli/program.js';
import { TOPICS, titleOf } from '#built/explain/topics.js';

const root = new URL('../../', import.meta.url).pathname;
const run = promisify(execFile);
const pages = readdirSync(`${root}dist/man`).sort();
const program = buildProgram(() => undefined);
const commands = program.commands.filter((command) => isVisible(command, program));

function isVisible(command: Command, parent: Command): boolean {
  return parent.createHelp().visibleCommands(parent).includes(command);
}

/** What a reader sees, with all spaces as one. */
async function shown(page: string): Promise<string> {
  const args = ['-E', 'UTF-8', '-l', `${root}dist/man/${page}`];
  const env = { ...process.env, MANWIDTH: '200', MAN_KEEP_FORMATTING: '', LC_ALL: 'C.UTF-8' };
  const { stdout } = await run('man', args, { env });
  return stdout.replace(/\s+/g, ' ');
}

it('each command and topic has a page, and package.json names them all', () => {
  const expected = [
    'virt-publish.1',
    ...commands.map((command) => `virt-publish-${command.name()}.1`),
    ...TOPICS.map((topic) => `virt-publish-${topic}.7`),
  ].sort();
  expect(pages).toEqual(expected);
  const { man } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { man: string[] };
  expect(man).toEqual(expected.map((page) => `dist/man/${page}`));
});

test.each(pages)('man shows %s without a warning', async (page) => {
  const args = ['--warnings', '-E', 'UTF-8', '-l', '-Tutf8', '-Z', `${root}dist/man/${page}`];
  const { stdout, stderr } = await run('man', args, { maxBuffer: 10_000_000 });
  expect(stderr).toBe('');
  expect(stdout.length).toBeGreaterThan(500);
});

test.each(commands.map((command) => command.name()))(
  'the page of %s has its flags',
  async (name) => {
    const command = commands.find((each) => each.name() === name) as Command;
    const text = await shown(`virt-publish-${name}.1`);
    expect(text).toContain(`virt-publish-${name} - ${command.summary()}`);
    for (const each of [command, ...command.commands.filter((below) => isVisible(below, command))])
      for (const { flags } of each.createHelp().visibleOptions(each))
        if (!flags.includes('--help')) expect(text).toContain(flags);
  },
);

test.each(TOPICS)('the page of the topic %s has its title', async (topic) => {
  expect(await shown(`virt-publish-${topic}.7`)).toContain(
    `virt-publish-${topic} - ${titleOf(topic)}`,
  );
});

it('a page shows code as it is', async () => {
  const policies = await shown('virt-publish-security.7');
  expect(policies).toContain('"Resource": ["arn:aws:s3:::images/golden/*"]');
  expect(await shown('virt-publish.1')).toContain('~/.config/virt-publish/config.json');
});
