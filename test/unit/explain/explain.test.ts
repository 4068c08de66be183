// `virt-publish explain` and the error catalogue: every word has a meaning, and the catalogue and the code agree both ways.
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { describe, expect, it, test } from 'vitest';
import { buildProgram } from '#built/cli/program.js';
import { listSettings, readSchema } from '#built/config/schema.js';
import { ERROR_CATALOGUE, ERROR_CODES, type ErrorCode } from '#built/core/error-catalogue.js';
import { explain } from '#built/explain/explain.js';
import { readErrorSection, readTopic, TOPICS } from '#built/explain/topics.js';

const root = new URL('../../../', import.meta.url).pathname;
const run = promisify(execFile);
const virtPublish = (args: string[], env: NodeJS.ProcessEnv = process.env) =>
  run(process.execPath, [`${root}dist/cli/main.js`, ...args], { env }).then(
    ({ stdout, stderr }) => ({ exitCode: 0, stdout, stderr }),
    ({ code, stdout, stderr }) => ({ exitCode: code as number, stdout, stderr }),
  );

/** Of virsh, systemd-run and qemu-nbd; and what every command has. */
const FOREIGN_FLAGS = ['--paused', '--metadata', '--all', '--scope', '--persistent', '--help'];

function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allCommands)];
}

const source = readdirSync(`${root}src`, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts') && path !== 'core/error-catalogue.ts')
  .map((path) => readFileSync(`${root}src/${path}`, 'utf8'))
  .map((text) => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, ''))
  .join('\n');

describe('the error catalogue', () => {
  it('has every code that the source throws', () => {
    const thrown = [...source.matchAll(/new PublishError\(\s*'(\w+)'/g)].map(([, code]) => code);
    expect(thrown.length).toBeGreaterThan(100);
    expect([...new Set(thrown)].filter((code) => !ERROR_CODES.includes(code as ErrorCode))).toEqual(
      [],
    );
  });

  test.each(ERROR_CODES)('%s is a code that the source throws', (code) => {
    const made = [
      `new PublishError\\(\\s*'${code}'`,
      // A helper that makes the error takes its code first.
      `\\w*(?:[eE]rror|[fF]ail\\w*|[rR]efus\\w*|[cC]annot\\w*)\\(\\s*'${code}'`,
      `\\bcode\\b(?:\\??:| =)[^\\n;]*'${code}'`,
    ].join('|');
    expect(source).toMatch(new RegExp(made));
  });

  test.each(ERROR_CODES)('%s has a section in its topic', (code) => {
    expect(TOPICS).toContain(ERROR_CATALOGUE[code].topic);
    expect(readErrorSection(code).length).toBeGreaterThan(20);
  });

  it('has every code that a section of a topic is about, and names that topic', () => {
    const sections = TOPICS.flatMap((topic) =>
      [...readTopic(topic).matchAll(/^### (.+)$/gm)].map(([, code = '']) => ({ topic, code })),
    );
    expect(sections.map(({ code }) => code).sort()).toEqual([...ERROR_CODES].sort());
    for (const { topic, code } of sections)
      expect(ERROR_CATALOGUE[code as ErrorCode].topic, code).toBe(topic);
  });

  it('has hints and meanings of one line, lower case, without a full stop', () => {
    for (const code of ERROR_CODES) {
      const { meaning, hint } = ERROR_CATALOGUE[code];
      for (const text of [meaning, hint]) {
        expect(text, code).not.toMatch(/\n|\.$/);
        expect(text, code).toMatch(/^([a-z`]|GUEST COULD NOT)/);
      }
    }
  });
});

describe('the topics', () => {
  it('are the Markdown files of src/explain', () => {
    const files = readdirSync(`${root}src/explain`).filter((name) => name.endsWith('.md'));
    const topics = files.filter((name) => name !== 'README.md').map((name) => name.slice(0, -3));
    expect(topics.sort()).toEqual([...TOPICS].sort());
  });

  test.each(TOPICS)(
    '%s begins with its name and what it is about, and fits a terminal',
    (topic) => {
      const lines = readTopic(topic).split('\n');
      expect(lines[0]).toMatch(new RegExp(`^# ${topic}: [a-z].*[^.]$`));
      expect(lines.filter((line) => line.length > 100)).toEqual([]);
    },
  );

  test.each(TOPICS)('%s names only flags, commands, keys and scripts that exist', (topic) => {
    const text = readTopic(topic);
    const commands = allCommands(buildProgram(() => undefined));
    const flags = commands.flatMap(({ options }) => options.map(({ long }) => long));
    for (const [flag] of text.matchAll(/(?<![\w-])--[a-z][a-z0-9-]+/g))
      expect([...flags, ...FOREIGN_FLAGS]).toContain(flag);
    const names = commands.map((command) => command.name());
    for (const [, name] of text.matchAll(/(?:^|`)virt-publish ([a-z-]+)/gm))
      expect(names).toContain(name);
    for (const [script] of text.matchAll(/scripts\/[a-z-]+(\.sh)?/g))
      expect(existsSync(`${root}${script}`), script).toBe(true);
    const groups = Object.keys(readSchema().properties ?? {}).join('|');
    const keys = listSettings(readSchema()).map(({ path }) => path.join('.'));
    for (const [, key] of text.matchAll(new RegExp(`\`((?:${groups})\\.[a-zA-Z]\\w+)\``, 'g')))
      expect(keys).toContain(key);
  });

  it('errors holds a table of all codes', () => {
    const rows = [
      ...readTopic('errors').matchAll(/^\| (\w+) +\| (\d+) +\| (.+?) +\| (\w+) +\|$/gm),
    ];
    expect(rows.map(([, ...cells]) => cells)).toEqual(
      ERROR_CODES.map((code) => {
        const { exitCode, meaning, topic } = ERROR_CATALOGUE[code];
        return [code, String(exitCode), meaning, topic];
      }),
    );
  });
});

describe('explain', () => {
  it('without a word lists the topics', async () => {
    const { stdout, exitCode } = await virtPublish(['explain']);
    expect(exitCode).toBe(0);
    for (const topic of TOPICS) expect(stdout).toMatch(new RegExp(`^ {2}${topic} +\\w`, 'm'));
  });

  test.each(TOPICS)('%s prints the topic', (topic) => {
    const topics = explain(topic).filter(({ kind }) => kind === 'topic');
    expect(topics.map(({ text }) => text)).toEqual([readTopic(topic).trimEnd()]);
  });

  test.each(ERROR_CODES)('%s prints meaning, hint, exit code and topic', (code) => {
    const [{ text } = { text: '' }] = explain(code);
    const { meaning, hint, exitCode, topic } = ERROR_CATALOGUE[code];
    for (const part of [meaning, hint, `exit code: ${exitCode}`, `explain ${topic}`])
      expect(text).toContain(part);
    expect(explain(code.toLowerCase())[0]).toBeDefined();
  });

  it('prints every code of an exit code', () => {
    expect(explain('45')).toMatchObject([{ codes: ['IMAGE_REFUSED', 'DOWNLOAD'] }]);
    expect(explain('0')).toMatchObject([{ text: 'exit code 0: done' }]);
  });

  test.each(listSettings(readSchema()).map(({ path }) => path.join('.')))(
    '%s prints type, default, description and variable',
    (key) => {
      const [found] = explain(key);
      expect(found).toMatchObject({ kind: 'key', name: key });
      expect(found?.text).toMatch(
        /^.+: .+\ntype: .+\ndefault: .+\nvariable: VIRT_PUBLISH_[A-Z0-9_]+$/,
      );
    },
  );

  it('of a group lists its keys, and of a variable the key that it sets', () => {
    expect(explain('timeouts')[0]?.text).toContain('timeouts.freezeMs');
    expect(explain('VIRT_PUBLISH_S3_CA_FILE')).toMatchObject([{ name: 's3.caFile' }]);
  });

  it('of a word that is topic and key prints both', () => {
    expect(explain('registry').map(({ kind }) => kind)).toEqual(['key', 'topic']);
  });

  it('refuses an unknown word with near ones', async () => {
    const refused = await virtPublish(['explain', 'gest']);
    expect(refused.exitCode).toBe(2);
    expect(refused.stdout).toBe('');
    expect(refused.stderr).toContain('"gest"');
    expect(refused.stderr).toContain('did you mean "guest"');
    expect((await virtPublish(['explain', 'timeouts.freezMs'])).stderr).toContain(
      'timeouts.freezeMs',
    );
    expect((await virtPublish(['explain', '99'])).exitCode).toBe(2);
  });

  it('works with a broken configuration, no libvirt and no home', async () => {
    const env = { PATH: '/nonexistent', VIRT_PUBLISH_REGISTRY_MODE: 'x', VIRT_PUBLISH_WRONG: '1' };
    const { exitCode, stdout, stderr } = await virtPublish(['explain', 'guest'], env);
    expect([exitCode, stderr]).toEqual([0, '']);
    expect(stdout).toBe(readTopic('guest'));
  });

  it('with --json prints one object', async () => {
    const { stdout } = await virtPublish(['explain', 'MIRROR', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({
      type: 'result',
      explanations: [{ kind: 'code', name: 'MIRROR', exitCode: 20, topic: 'modes' }],
    });
  });
});
