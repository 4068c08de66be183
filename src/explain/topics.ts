// Reads the topics of `virt-publish explain`, which ship as Markdown files.
import { readFileSync } from 'node:fs';
import { ERROR_CATALOGUE, ERROR_CODES, type ErrorCode } from '../core/error-catalogue.ts';
import { programUrl } from '../core/package-files.ts';

/** The topics, in the order in which a new user reads them. */
export const TOPICS = [
  'guest',
  'modes',
  'registry',
  'formats',
  'security',
  'errors',
  'limits',
  'performance',
  'library',
] as const;

export type Topic = (typeof TOPICS)[number];

/** The line of `errors.md` that the table of all codes replaces. */
const TABLE_MARK = '<!-- table of error codes -->';

/** Returns the text of a topic as Markdown, with a newline at its end. */
export function readTopic(topic: Topic): string {
  const text = readFileSync(programUrl(`explain/${topic}.md`), 'utf8');
  return text.replace(TABLE_MARK, errorTable);
}

/** Returns what a topic is about, in some words: the text after the colon of its title. */
export function titleOf(topic: Topic): string {
  const [title = ''] = readTopic(topic).split('\n');
  return title.replace(/^# \w+: /, '');
}

/** Returns the section of the topics on one error code, without its heading. */
export function readErrorSection(code: ErrorCode): string {
  const text = readTopic(ERROR_CATALOGUE[code].topic);
  const [, section = ''] = text.split(`\n### ${code}\n`);
  return (section.split(/^##+ /m)[0] ?? '').trim();
}

/** The table of all codes in Markdown, with cells of equal width. */
function errorTable(): string {
  const rows = ERROR_CODES.map((code) => {
    const { exitCode, meaning, topic } = ERROR_CATALOGUE[code];
    return [code, String(exitCode), meaning, topic];
  });
  const titles = ['code', 'exit', 'meaning', 'topic'];
  const widths = titles.map((title, index) =>
    Math.max(...[titles, ...rows].map((row) => row[index]?.length ?? 0), title.length),
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join(' | ')} |`;
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [line(titles), rule, ...rows.map(line)].join('\n');
}
