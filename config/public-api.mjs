// Reads the public API from the declarations that the build writes: every export of index.d.ts.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const START =
  /^export (?:declare )?(?:abstract )?(interface|type|class|function|const) ([A-Za-z_]\w*)/;
const LOCAL = /^(?:declare )?(?:abstract )?(interface|type|class|function|const) ([A-Za-z_]\w*)/;

/**
 * Returns the exports of `index.d.ts` in `types`, by name. `inner`: the names of other declarations
 * of this package that the text mentions, which a user of the API cannot import.
 *
 * NOTE: TypeScript 7 has no stable API that a documentation tool could use. tsc prints each
 * declaration on lines of its own, with its comment above it, so its text is enough.
 * @returns {{name: string, kind: string, file: string, doc: string, text: string, inner: string[]}[]}
 */
export function readPublicApi(types) {
  const files = new Map();
  const read = (file) => {
    if (!files.has(file)) files.set(file, parse(readFileSync(join(types, file), 'utf8')));
    return files.get(file);
  };
  const exported = readExports(readFileSync(join(types, 'index.d.ts'), 'utf8'), read);
  const names = new Set(exported.map(({ name }) => name));
  return exported
    .map(({ name, file }) => describe(name, file, read(file), names))
    .sort((a, b) => a.name.localeCompare(b.name));
}

/** `export { A, type B } from './x.ts'` and `export * from './x.ts'`. */
function readExports(index, read) {
  const found = [];
  for (const [, star, list, from] of index.matchAll(
    /^export (?:type )?(?:(\*)|\{([^}]*)\}) from '\.\/([^']+)'/gm,
  )) {
    const file = from.replace(/\.ts$/, '.d.ts');
    const listed = (list ?? '').split(',').map((each) => each.replace(/^\s*(type )?/, '').trim());
    const all = [...read(file).declared].filter(([, { isExported }]) => isExported);
    const names = star === undefined ? listed.filter(Boolean) : all.map(([name]) => name);
    for (const name of names) found.push({ name, file });
  }
  return found;
}

function parse(text) {
  const lines = text.split('\n');
  const declared = new Map();
  let comment = [];
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at];
    if (/^(\/\*\*| \*)/.test(line)) {
      if (line.startsWith('/**')) comment = [];
      comment.push(line);
      continue;
    }
    const match = START.exec(line) ?? LOCAL.exec(line);
    if (match) {
      let end = at;
      while (!/^(\}.*|.*;)$/.test(lines[end]) || /^\s/.test(lines[end])) end += 1;
      const [, kind, name] = match;
      const isExported = line.startsWith('export');
      const body = lines.slice(at, end + 1).join('\n');
      declared.set(name, { kind, isExported, doc: plain(comment), text: body });
      at = end;
    }
    comment = [];
  }
  const imports = new Map();
  for (const [, list, from] of text.matchAll(/^import (?:type )?\{([^}]*)\} from '([^']+)'/gm))
    for (const each of list.split(',')) {
      const name = each.replace(/^\s*(type )?/, '').trim();
      if (name !== '')
        imports.set(name.split(' as ').at(-1), { from, name: name.split(' as ')[0] });
    }
  return { declared, imports };
}

function describe(name, file, { declared, imports }, names) {
  const found = declared.get(name);
  if (found === undefined) throw new Error(`${dirname(file)}: ${name} is not declared in ${file}`);
  const text = withLists(found.text, declared);
  const code = text.replace(/\/\*[\s\S]*?\*\/|'[^']*'|"[^"]*"/g, '');
  const mentioned = new Set(code.match(/\b[A-Za-z_]\w*/g));
  const own = [...imports].flatMap(([local, { from, name: original }]) =>
    from.startsWith('.') && mentioned.has(local) && !names.has(original) ? [local] : [],
  );
  const beside = [...declared.keys()].filter((each) => mentioned.has(each) && !names.has(each));
  const inner = [...own, ...beside];
  return { name, kind: found.kind, file, doc: found.doc, text, inner };
}

/** `(typeof MODES)[number]` with the words of the list. */
function withLists(text, declared) {
  return text.replace(/\(typeof (\w+)\)\[number\]/g, (whole, name) => {
    const list = /readonly \[([^\]]*)\]/.exec(declared.get(name)?.text ?? '')?.[1];
    return list === undefined ? whole : list.replaceAll('"', "'").split(/,\s*/).join(' | ');
  });
}

function plain(comment) {
  return comment
    .join('\n')
    .replace(/^\/\*\*\s?|\s*\*\/$/g, '')
    .replace(/^ \* ?/gm, '')
    .trim();
}
