// Words for a command line that a person copies.
import { printable } from './printable.ts';

/**
 * The word as shells read it back, quoted only where it must be. A word with unprintable characters
 * is quoted as `$'…'`, which POSIX.1-2024, bash, ksh and zsh know.
 */
export function shellQuote(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  if (printable(word) !== word) return `$'${[...word].map(escaped).join('')}'`;
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * A domain as virsh finds it, and no other: by its name where that is a plain word, else by its UUID.
 * virsh takes `-x` for an option and `7` for a domain's id, whatever the quotes.
 */
export function virshDomain({ name, uuid }: { name: string; uuid: string }): string {
  const isPlain = /^[A-Za-z_][\w.+-]*$/.test(name) && !/^[0-9a-f-]{32,36}$/i.test(name);
  return isPlain ? name : uuid;
}

/** Within `$'…'`: octal bytes, since \u is read by the rules of the shell's locale. */
function escaped(character: string): string {
  if (character === "'" || character === '\\') return `\\${character}`;
  if (printable(character) === character) return character;
  const bytes = [...Buffer.from(character)];
  return bytes.map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
}
