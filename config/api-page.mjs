// Writes dist/api.md, the reference of the library, from the declarations; part of `npm run build`.
import { writeFileSync } from 'node:fs';
import { readPublicApi } from './public-api.mjs';

const root = new URL('../', import.meta.url);
const api = readPublicApi(new URL('dist/types', root).pathname);

const GROUPS = [
  ['Functions', ({ kind }) => kind === 'function'],
  ['Registry', ({ name }) => name === 'ImageRegistry'],
  ['Errors', ({ kind, name }) => kind === 'class' || /Error/.test(name) || name === 'Step'],
  ['Types', () => true],
];

const INTRODUCTION = `# Library

\`import { createSnapshot, openRegistry } from 'virt-publish'\`. Anything left out of the options comes
from the configuration, which every function reads unless it is given one. Every rejection is a
\`PublishError\`: match on its \`code\`. A signal that fires rejects with \`INTERRUPTED\`, and the reason of
the signal as \`cause\`, after everything was undone.
`;

const seen = new Set();
const sections = GROUPS.map(([title, belongs]) => {
  const members = api.filter((each) => !seen.has(each.name) && belongs(each));
  for (const { name } of members) seen.add(name);
  return [`## ${title}`, ...members.map(section)].join('\n\n');
});
writeFileSync(new URL('dist/api.md', root), `${[INTRODUCTION, ...sections].join('\n')}\n`);

function section({ name, doc, text }) {
  const code = text.replace(/^export (declare )?/, '');
  const about = doc
    .replace(/\n/g, ' ')
    .replace(/\s*@throws (PublishError\s)?/g, '\n\nThrows ')
    .trim();
  return `### ${name}\n\n${about}\n\n\`\`\`ts\n${code}\n\`\`\``;
}
