// Quotes a word for a command line that a person copies.

/** The word as POSIX shells read it back, quoted only where it must be. */
export function shellQuote(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", "'\\''")}'`;
}
