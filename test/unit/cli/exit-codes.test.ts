// The exit codes are the same in the table, in `--help` and in the README.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { EXIT_CODES, exitCodeOf } from '#built/cli/exit-codes.js';
import { ERROR_CODES } from '#built/core/error-catalogue.js';
import { PublishError } from '#built/core/errors.js';

const root = new URL('../../../', import.meta.url).pathname;

it('every error code has exactly one exit code', () => {
  const listed = EXIT_CODES.flatMap((entry) => entry.codes);
  expect([...listed].sort()).toEqual([...ERROR_CODES].sort());
  for (const entry of EXIT_CODES)
    for (const code of entry.codes)
      expect(exitCodeOf(new PublishError(code, 'x'))).toBe(entry.exit);
  expect(exitCodeOf(new TypeError('x'))).toBe(1);
  expect(exitCodeOf('x')).toBe(1);
});

it('the numbers are those that scripts rely on', () => {
  const exit = (code: (typeof ERROR_CODES)[number]) => exitCodeOf(new PublishError(code, 'x'));
  const codes = [
    'USAGE',
    'DOMAIN_NOT_FOUND',
    'DOMAIN_BUSY',
    'MIRROR',
    'QUIESCE',
    'NO_SPACE',
  ] as const;
  expect(codes.map(exit)).toEqual([2, 10, 11, 20, 21, 31]);
  const more = [
    'IMAGE_NOT_FOUND',
    'PRECONDITION_LOST',
    'REGISTRY',
    'GUEST_NOT_RESTORED',
    'INTERRUPTED',
  ] as const;
  expect(more.map(exit)).toEqual([40, 43, 44, 50, 130]);
});

it('--help lists the table', () => {
  const help = execFileSync(process.execPath, [`${root}dist/cli/main.js`, '--help'], {
    encoding: 'utf8',
  });
  const listed = help.slice(help.indexOf('Exit codes:')).split('\n').slice(1, -1);
  expect(listed.map((line) => /^ {2}(\d+) +(.+)$/.exec(line)?.slice(1))).toEqual(
    EXIT_CODES.map(({ exit, meaning }) => [String(exit), meaning]),
  );
});

it('the README lists the table', () => {
  const section = readFileSync(`${root}README.md`, 'utf8').split(/^#+ Exit codes$/m)[1] ?? '';
  const cells = (line: string) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
  const rows = (section.split(/^#/m)[0] ?? '')
    .split('\n')
    .filter((line) => /^\| \d+ +\|/.test(line));
  expect(rows.map(cells)).toEqual(
    EXIT_CODES.map(({ exit, meaning, hint }) => [String(exit), meaning, hint]),
  );
});
