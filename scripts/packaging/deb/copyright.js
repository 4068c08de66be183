// Prints the copyright file of the Debian package: our licence, and the notices of all that the package holds.
// usage: copyright.js THIRD-PARTY.txt NAME=LICENCE-FILE...
import { readFileSync } from 'node:fs';

// A notice ends at the next rule of 72 `=`: a licence text that is cut short must not take the next one along.
// Debian has the text of this licence on every system, and does not want it in a package.
const APACHE =
  /^[ \t]*Apache License\s+Version 2\.0, January 2004(?:(?!\n={72}\n)[\s\S])*?accepting\s+any\s+such\s+warranty\s+or\s+additional\s+liability\.(?:\s*END OF TERMS AND CONDITIONS)?(?:(?:(?!\n={72}\n)[\s\S])*?limitations under the License\.)?/gm;
const APACHE_REFERENCE =
  'The text of the Apache License 2.0 is in /usr/share/common-licenses/Apache-2.0.';

const [bundled = '', ...others] = process.argv.slice(2);
const parts = [
  'virt-publish is under the Apache License 2.0.',
  APACHE_REFERENCE,
  read(bundled),
  ...others.map((other) => {
    const [name = '', file = ''] = other.split('=');
    return `${'='.repeat(72)}\n${name}\n\n${read(file)}`;
  }),
];
process.stdout.write(`${parts.map((part) => part.trim()).join('\n\n')}\n`);

/** @param {string} file */
function read(file) {
  return readFileSync(file, 'utf8').replaceAll('\r', '').replace(APACHE, APACHE_REFERENCE);
}
