// Finds what a word of `virt-publish explain` means: a topic, an error code, an exit code or a configuration key.
import {
  describeAllowed,
  listSettings,
  readConfigAsset,
  readSchema,
  type SchemaNode,
  type Setting,
} from '../config/schema.ts';
import { closeNames, didYouMean } from '../core/close-names.ts';
import { ERROR_CATALOGUE, ERROR_CODES, type ErrorCode } from '../core/error-catalogue.ts';
import { PublishError } from '../core/errors.ts';
import { readErrorSection, readTopic, TOPICS, type Topic, titleOf } from './topics.ts';

/** One meaning of a word. `text` is for people; the other fields are for programs. */
export type Explanation =
  | { kind: 'topic'; name: Topic; text: string }
  | ({ kind: 'code'; name: ErrorCode; text: string } & (typeof ERROR_CATALOGUE)[ErrorCode])
  | { kind: 'exitCode'; name: number; codes: readonly ErrorCode[]; text: string }
  | ({ kind: 'key'; name: string; text: string } & KeyFacts)
  | { kind: 'group'; name: string; keys: readonly string[]; text: string };

interface KeyFacts {
  /** The allowed values, in words. */
  type: string;
  default: unknown;
  description: string;
  /** The environment variable that sets it. */
  variable: string;
}

/** Returns the topics with their titles, one a line, for `virt-publish explain` without a word. */
export function listTopics(): { name: Topic; title: string }[] {
  return TOPICS.map((name) => ({ name, title: titleOf(name) }));
}

/** Returns all words that `explain` accepts, except exit codes. */
export function knownWords(): string[] {
  const keys = listSettings(readSchema()).map(({ path }) => path.join('.'));
  return [...TOPICS, ...ERROR_CODES, ...groups().map(([name]) => name), ...keys];
}

/**
 * Returns every meaning of a word, at least one: `registry` is a topic and a configuration key.
 * Letter case counts only if the word exists in that case.
 * @throws USAGE if the word has no meaning
 */
export function explain(word: string): Explanation[] {
  const found = meanings(word);
  if (found.length > 0) return found;
  const lower = word.toLowerCase();
  const inOtherCase = knownWords().find((known) => known.toLowerCase() === lower);
  if (inOtherCase !== undefined) return meanings(inOtherCase);
  const near = didYouMean(closeNames(word, knownWords()));
  const message = `there is no topic, error code, exit code or configuration key ${JSON.stringify(word)}`;
  const hint = `${near === undefined ? '' : `${near} `}run \`virt-publish explain\` for the topics`;
  throw new PublishError('USAGE', message, { step: 'config', hint });
}

function meanings(word: string): Explanation[] {
  const topic = TOPICS.filter((name) => name === word);
  const codes = ERROR_CODES.filter((code) => code === word);
  const settings = listSettings(readSchema());
  const keys = settings.filter(({ path, variable }) => [path.join('.'), variable].includes(word));
  return [
    ...keys.map(explainKey),
    ...groups()
      .filter(([name]) => name === word)
      .map(([name, node]) => explainGroup(name, node, settings)),
    ...codes.map(explainCode),
    ...(/^\d+$/.test(word) ? explainExitCode(Number(word)) : []),
    ...topic.map((name): Explanation => ({ kind: 'topic', name, text: readTopic(name).trimEnd() })),
  ];
}

function explainCode(code: ErrorCode): Explanation {
  const entry = ERROR_CATALOGUE[code];
  const section = readErrorSection(code);
  const lines = [
    `${code}: ${entry.meaning}`,
    `hint: ${entry.hint}`,
    `exit code: ${entry.exitCode}`,
    `topic: virt-publish explain ${entry.topic}`,
    ...(section === '' ? [] : ['', section]),
  ];
  return { kind: 'code', name: code, ...entry, text: lines.join('\n') };
}

function explainExitCode(exitCode: number): Explanation[] {
  if (exitCode === 0) return [{ kind: 'exitCode', name: 0, codes: [], text: 'exit code 0: done' }];
  const codes = ERROR_CODES.filter((code) => ERROR_CATALOGUE[code].exitCode === exitCode);
  if (codes.length === 0) return [];
  const text = codes.map((code) => explainCode(code).text).join('\n\n');
  return [{ kind: 'exitCode', name: exitCode, codes, text }];
}

function explainKey({ path, variable, node }: Setting): Explanation {
  const name = path.join('.');
  const facts = {
    type: typeOf(name, node),
    default: defaultOf(path),
    description: node.description ?? '',
    variable,
  };
  const lines = [
    `${name}: ${facts.description}`,
    `type: ${facts.type}`,
    `default: ${shown(facts.default)}`,
    `variable: ${variable}`,
  ];
  return { kind: 'key', name, ...facts, text: lines.join('\n') };
}

function explainGroup(name: string, node: SchemaNode, settings: readonly Setting[]): Explanation {
  const inGroup = settings.filter(({ path }) => path[0] === name);
  const keys = inGroup.map(({ path }) => path.join('.'));
  const width = Math.max(...keys.map((key) => key.length));
  const rows = inGroup.map(({ path, node: key }) => {
    return `  ${path.join('.').padEnd(width)}  ${shown(defaultOf(path))}  ${key.description}`;
  });
  const text = [`${name}: ${node.description}`, 'keys, with default:', ...rows].join('\n');
  return { kind: 'group', name, keys, text };
}

/** NOTE: the schema has a number or a string for a value with a unit; the name has the unit. */
function typeOf(name: string, node: SchemaNode): string {
  if (node.pattern === undefined || name.endsWith('Mode')) return describeAllowed(node);
  if (name.endsWith('Ms')) return 'milliseconds, or a text such as 250ms, 30s, 15m, 4h';
  if (name.endsWith('Bytes')) return 'bytes, or a text such as 500M, 2GiB, 1.5G';
  if (name.endsWith('Mib')) return 'MiB, or a text such as 512M, 2G';
  return describeAllowed(node);
}

function groups(): [string, SchemaNode][] {
  const { properties = {} } = readSchema();
  return Object.entries(properties).filter(([, { properties: keys }]) => keys !== undefined);
}

function defaultOf(path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (value, key) => (value as Record<string, unknown> | undefined)?.[key],
    readConfigAsset('default.json'),
  );
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
