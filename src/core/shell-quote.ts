// Quotes words of a command line that a person copies.
import { printable } from './printable.ts';

/**
 * Returns the word as a shell reads it, quoted only if necessary. A word with unprintable characters is
 * quoted as `$'…'`, which POSIX.1-2024, bash, ksh and zsh read.
 */
export function shellQuote(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  if (printable(word) !== word) return `$'${[...word].map(escaped).join('')}'`;
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * Returns the domain's name for virsh if that is a plain word, else its UUID. virsh takes `-x` for an
 * option and `7` for a domain's id, with or without quotes.
 */
export function virshDomain({ name, uuid }: { name: string; uuid: string }): string {
  const isPlain = /^[A-Za-z_][\w.+-]*$/.test(name) && !/^[0-9a-f-]{32,36}$/i.test(name);
  return isPlain ? name : uuid;
}

/** Escapes for `$'…'`, as octal bytes: a shell reads \u by the rules of its locale. */
function escaped(character: string): string {
  if (character === "'" || character === '\\') return `\\${character}`;
  if (printable(character) === character) return character;
  const bytes = [...Buffer.from(character)];
  return bytes.map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
}
