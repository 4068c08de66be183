// Prints what can come next on a command line, for the completion scripts of the shells.
import type { Command } from 'commander';
import { printable } from '../../core/printable.ts';
import type { RegistryFlags } from '../options.ts';
import { hostOverrides } from '../options.ts';
import type { Candidate, NextWord } from './next-word.ts';
import { nextWord } from './next-word.ts';

/** A person waits for it with a finger on the Tab key. */
const DEADLINE_MS = 1000;

export interface Completion {
  text: string;
  /** The deadline has passed, and the look-up goes on: the process must not wait for it. */
  isLate: boolean;
}

/**
 * Returns the candidates, a line each as `value<TAB>description`, and `:files` or `:dirs` if the
 * shell is to complete paths too. Never rejects and never takes longer than a second: what cannot
 * be looked up is left out.
 * @param words after the name of the program; the last one is the one to complete
 */
export async function complete(program: Command, words: readonly string[]): Promise<Completion> {
  const next = nextWord(program, words);
  const dynamic = next.dynamic.length === 0 ? [] : await lookUp(next);
  const lines = [...next.candidates, ...(dynamic ?? []).filter(isNoFlag)]
    .filter(({ value }) => value.startsWith(next.prefix) && printable(value) === value)
    .map(({ value, description }) => `${next.before}${value}\t${oneLine(description)}`);
  const paths = next.paths === undefined ? [] : [`:${next.paths}`];
  const text = [...new Set(lines), ...paths].map((line) => `${line}\n`).join('');
  return { text, isLate: dynamic === undefined };
}

/** Returns `undefined` after the deadline. */
async function lookUp(next: NextWord): Promise<Candidate[] | undefined> {
  const deadline = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => {
      deadline.abort();
      resolve(undefined);
    }, DEADLINE_MS);
  });
  try {
    return await Promise.race([late, find(next, deadline.signal)]);
  } finally {
    clearTimeout(timer);
  }
}

/** The failure of one kind does not suppress the others. */
async function find({ flags, dynamic, prefix }: NextWord, signal: AbortSignal) {
  try {
    const { loadConfig } = await import('../../config/config.ts');
    const files = flags.get('--config');
    const overrides = hostOverrides(registryFlags(flags));
    const config = await loadConfig({ files: files === undefined ? [] : [files], overrides });
    const { dynamicValues } = await import('./dynamic-values.ts');
    const found = await Promise.allSettled(
      dynamic.map((kind) => dynamicValues(kind, { config, prefix, signal })),
    );
    return found.flatMap((each) => (each.status === 'fulfilled' ? each.value : []));
  } catch {
    // A configuration that cannot be read: the command itself reports it.
    return [];
  }
}

function registryFlags(flags: ReadonlyMap<string, string>): RegistryFlags & { connect?: string } {
  const names = ['registry', 'endpoint', 'region', 'profile', 'connect'] as const;
  const given = names.map((name) => [name, flags.get(`--${name}`)] as const);
  const caFile = flags.get('--ca-file');
  return {
    ...Object.fromEntries(given.filter(([, value]) => value !== undefined)),
    ...(caFile === undefined ? {} : { caFile }),
  };
}

/** A name that begins as a flag would be read as one. */
function isNoFlag({ value }: Candidate): boolean {
  return !value.startsWith('-');
}

function oneLine(text: string): string {
  return printable(text.replace(/\s+/g, ' '));
}
