// Words for a command line that a person copies.

/** The word as POSIX shells read it back, quoted only where it must be. */
export function shellQuote(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
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
