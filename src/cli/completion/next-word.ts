// Finds what can come next on a command line of virt-publish: commands, flags, or values of a kind. Pure.
import type { Argument, Command, Option } from 'commander';

/** A word that can come next, and what it is, for shells that show it. */
export interface Candidate {
  value: string;
  description: string;
}

/** Values that have to be read from the host or the registry. */
export type DynamicKind = 'domain' | 'image' | 'alias' | 'run' | 'word';

export interface NextWord {
  /** All candidates that are known from the commands; they need not begin with `prefix`. */
  candidates: Candidate[];
  dynamic: readonly DynamicKind[];
  /** The shell completes these by itself. */
  paths: 'files' | 'dirs' | undefined;
  /** The text before the value in the same word, such as `--format=` or `md5,`. */
  before: string;
  /** What the value begins with. */
  prefix: string;
  /** The flags with a value that stand before the word, by their long names. */
  flags: ReadonlyMap<string, string>;
}

/** The kind of an argument or a flag's value, by its name in the usage. */
const KINDS: Readonly<Record<string, readonly DynamicKind[]>> = {
  domain: ['domain'],
  image: ['image', 'alias'],
  images: ['image', 'alias'],
  alias: ['alias'],
  'run-or-domain': ['run', 'domain'],
  word: ['word'],
};

const PATHS: Readonly<Record<string, 'files' | 'dirs'>> = {
  file: 'files',
  source: 'files',
  dir: 'dirs',
  url: 'dirs',
};

/** @param words after the name of the program; the last one is the one to complete. */
export function nextWord(program: Command, words: readonly string[]): NextWord {
  const walk = new Walk(program);
  for (const word of words.slice(0, -1)) walk.pass(word);
  return walk.complete(words.at(-1) ?? '');
}

class Walk {
  #command: Command;
  readonly #above: Command[] = [];
  readonly #flags = new Map<string, string>();
  #arguments = 0;
  #onlyArguments = false;
  /** The flag whose value comes next. */
  #open: Option | undefined;

  constructor(program: Command) {
    this.#command = program;
  }

  pass(word: string): void {
    if (this.#open !== undefined) this.#set(this.#open, word);
    else if (word === '--' && !this.#onlyArguments) this.#onlyArguments = true;
    else if (word.startsWith('-') && word !== '-' && !this.#onlyArguments) this.#passFlag(word);
    else this.#passArgument(word);
  }

  complete(word: string): NextWord {
    const nothing = { candidates: [], dynamic: [], paths: undefined, flags: this.#flags };
    if (this.#open !== undefined) return { ...nothing, ...valuesOf(this.#open, word) };
    if (!this.#onlyArguments) {
      const [, name = '', value] = /^(--[^=]+)=(.*)$/.exec(word) ?? [];
      const option = value === undefined ? undefined : this.#find(name);
      if (option !== undefined) {
        const values = valuesOf(option, value ?? '');
        return { ...nothing, ...values, before: `${name}=${values.before}` };
      }
      if (word.startsWith('-'))
        return { ...nothing, candidates: this.#flagCandidates(), before: '', prefix: word };
    }
    const commands = this.#commands();
    const argument = commands.length === 0 ? this.#argument() : undefined;
    const found = argument === undefined ? {} : valuesFor(argument.name(), argument.argChoices);
    const candidates = commands.map((each) => {
      return { value: each.name(), description: each.summary() || each.description() };
    });
    return { ...nothing, candidates, ...found, before: '', prefix: word };
  }

  #passFlag(word: string): void {
    const [, name = word, value] = /^(--[^=]+)=(.*)$/s.exec(word) ?? [];
    const short = /^-[^-]/.test(word);
    const option = this.#find(short ? word.slice(0, 2) : name);
    if (option === undefined || !(option.required || option.optional)) return;
    if (value !== undefined) this.#set(option, value);
    else if (short && word.length > 2) this.#set(option, word.slice(2));
    else if (option.required) this.#open = option;
  }

  #passArgument(word: string): void {
    const command = this.#commands().find((each) => each.name() === word);
    if (command === undefined) {
      this.#arguments += 1;
      return;
    }
    this.#above.push(this.#command);
    this.#command = command;
  }

  #set(option: Option, value: string): void {
    this.#flags.set(option.long ?? option.flags, value);
    this.#open = undefined;
  }

  #find(flag: string): Option | undefined {
    return this.#options().find(({ long, short }) => long === flag || short === flag);
  }

  #options(): readonly Option[] {
    const help = this.#command.createHelp();
    const own = help.visibleOptions(this.#command);
    return [...own, ...this.#above.flatMap((each) => each.options)];
  }

  #flagCandidates(): Candidate[] {
    return this.#options().flatMap(({ long, hidden, description }) =>
      long === undefined || hidden ? [] : [{ value: long, description }],
    );
  }

  /** The commands that can come next: those below this one, or those that `help` explains. */
  #commands(): Command[] {
    if (this.#arguments > 0) return [];
    const above = this.#above.at(-1);
    const isHelp = this.#command.name() === 'help' && above !== undefined;
    const command = isHelp ? above : this.#command;
    return command.createHelp().visibleCommands(command);
  }

  #argument(): Argument | undefined {
    const { registeredArguments } = this.#command;
    const last = registeredArguments.at(-1);
    return registeredArguments[this.#arguments] ?? (last?.variadic ? last : undefined);
  }
}

type Place = Pick<NextWord, 'before' | 'prefix'>;

/** The values of a flag. One that takes several with commas is completed after its last comma. */
function valuesOf(option: Option, word: string): Partial<NextWord> & Place {
  const name = /[<[]([^>\]]+)[>\]]/.exec(option.flags)?.[1] ?? '';
  const list = listOf(option);
  const before = list === undefined ? '' : word.slice(0, word.lastIndexOf(',') + 1);
  const found = valuesFor(name, option.argChoices ?? list);
  return { ...found, before, prefix: word.slice(before.length) };
}

function valuesFor(name: string, choices: readonly string[] | undefined): Partial<NextWord> {
  if (choices !== undefined)
    return { candidates: choices.map((value) => ({ value, description: '' })) };
  return { dynamic: KINDS[name] ?? [], paths: PATHS[name] };
}

/** The values of a flag that takes several (`collectChoices`), as its parser knows them. */
function listOf({ parseArg }: Option): readonly string[] | undefined {
  return (parseArg as { choices?: readonly string[] } | undefined)?.choices;
}
