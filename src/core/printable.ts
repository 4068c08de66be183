// Escapes characters that control a terminal or hide text; used wherever foreign text is printed.

/**
 * C0 and C1 controls, format characters (direction overrides, zero-width characters, byte order
 * marks, tags), line and paragraph separators, lone surrogates, and other invisible characters. The two
 * variation selectors of emoji stay.
 */
const UNPRINTABLE =
  /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]|(?![\ufe0e\ufe0f])\p{Default_Ignorable_Code_Point}/gu;

/**
 * Returns the text with each unprintable character as `\uXXXX`, in UTF-16 units. Line breaks are
 * escaped too. A second call changes nothing.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escapeUnits);
}

/**
 * Returns the value as one line of JSON that has no unprintable character. Parsing it gives the
 * same value as parsing `JSON.stringify(value)`.
 */
export function printableJson(value: unknown): string {
  // JSON.stringify leaves C1 controls and format characters as they are. Outside of strings JSON is
  // ASCII, so each of them is inside a string, where \uXXXX means the same character.
  return printable(JSON.stringify(value));
}

function escapeUnits(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');
}
