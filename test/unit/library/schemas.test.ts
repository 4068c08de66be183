// The JSON schemas that ship name the steps, codes and events of the code.
import { readFileSync } from 'node:fs';
import { ERROR_CODES } from 'virt-publish';
import { expect, it } from 'vitest';
import { buildProgram } from '#built/cli/program.js';

const read = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../../config/schemas/${name}`, import.meta.url), 'utf8'));
const event = read('event.json');

it('event.json has every error code', () => {
  expect(event.definitions.code.enum).toEqual(ERROR_CODES);
});

it('event.json has every step', () => {
  const types = readFileSync(
    new URL('../../../dist/types/core/errors.d.ts', import.meta.url),
    'utf8',
  );
  const union = /export type Step = ([^;]+);/.exec(types)?.[1] ?? '';
  expect(event.definitions.step.enum).toEqual(union.match(/[a-z]+/g));
});

it('result.json has every command that prints a result', () => {
  const names = (command: ReturnType<typeof buildProgram>, path: string[]): string[] =>
    command.commands.length === 0
      ? [path.join(' ')]
      : command.commands.flatMap((each) => names(each, [...path, each.name()]));
  const commands = names(
    buildProgram(() => undefined),
    [],
  );
  const described = Object.keys(read('result.json').definitions.commands);
  const plain = described.filter((name) => !name.includes('--'));
  /** What they print is for shells and people. */
  const texts = ['completion', 'explain'];
  expect(plain.sort()).toEqual(
    commands.filter((name) => !texts.includes(name) && !name.startsWith('__')).sort(),
  );
});
