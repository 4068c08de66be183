// Holds the house rules of src/: the direction of imports, one importer a package, who may touch the process.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = new URL('../../src/', import.meta.url).pathname;

interface Source {
  /** From `src/`, as `cli/main.ts`. */
  path: string;
  /** The folder below `src/`, or the file's own name where it stands in `src/` itself. */
  room: string;
  text: string;
  /** The text without comments and strings: what is code. */
  code: string;
  imports: { from: string; typeOnly: boolean }[];
}

/** From top to bottom: a room imports itself and the rooms below it, type-only imports included. */
const ROOMS = [
  'index.ts',
  'cli',
  'explain',
  'library',
  'operations',
  'recovery',
  'publish',
  'capture',
  'image',
  'run',
  'domain',
  'registry',
  'transfer',
  'store',
  'formats',
  'libvirt',
  'qemu',
  'host',
  'config',
  'core',
];

/** The one file that imports each package from outside, where it is settled which. */
const IMPORTERS: Record<string, string> = {
  '@aws-sdk/client-s3': 'store/s3/s3-client.ts',
  '@aws-sdk/credential-provider-node': 'store/s3/access.ts',
  '@aws-sdk/s3-request-presigner': 'store/s3/links.ts',
  '@node-rs/crc32': 'host/io/crc32c.ts',
  '@smithy/core': 'store/s3/aws-settings.ts',
  'http-proxy-agent': 'store/s3/connections/proxy-agents.ts',
  'https-proxy-agent': 'store/s3/connections/proxy-agents.ts',
  'proxy-from-env': 'store/s3/connections/agents.ts',
  koffi: 'host/native/koffi.ts',
  execa: 'qemu/run-program.ts',
  'log-update': 'cli/report/live-reporter.ts',
  'pretty-bytes': 'core/format-bytes.ts',
  'string-width': 'cli/views/table.ts',
};

/** Commander's types stand where commands are declared; its errors and options in these alone. */
const COMMANDER_VALUES = ['cli/options.ts', 'cli/program.ts'];

/** Processes and threads of their own: they have arguments, exit codes and signals like a program. */
const ENTRY_FILES = /(^|\/)[a-z-]*(worker|guard)[a-z-]*\.ts$/;

/** What else may touch the process, and how: a thread that hangs in C must not hold the exit. */
const PROCESS_USES: Record<string, readonly string[]> = {
  'config/config.ts': ['env'],
  // Who runs it.
  'core/user.ts': ['geteuid', 'getegid', 'env'],
  // Where the daemon of this user has its files.
  'libvirt/status-xml.ts': ['env'],
  'host/native/thread-end.ts': ['on'],
  // Whose folders and files are our own.
  'host/files/own-folders.ts': ['geteuid'],
  // No other code can report that a caller's listener throws.
  'core/events.ts': ['emitWarning'],
  // Writes who holds a lock and whose journal it is, for the next process.
  'run/lock/lock.ts': ['pid'],
  'run/lock/slots.ts': ['pid'],
  'run/open-run.ts': ['pid'],
  // Only this ends the children of a process that has exited.
  'run/lock/leftovers.ts': ['kill'],
};

/** What a file says that has more than 200 lines, and why it stays whole. */
const LONG_REASON = /^\/\/ More than 200 lines: \S.*\.$/m;

const sources = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .sort()
  .map(readSource);

function readSource(path: string): Source {
  const text = readFileSync(join(root, path), 'utf8');
  const code = text
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/(^|[^:'"`])\/\/.*$/gm, '$1')
    .replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g, "''");
  const fixed = [...text.matchAll(/^(import|export)( type)?\b([^;'"]*?)from\s+['"]([^'"]+)['"]/gm)];
  const late = [...text.matchAll(/\bimport\(\s*['"]([^'"]+)['"]\s*\)/g)];
  const bare = [...text.matchAll(/^import\s+['"]([^'"]+)['"]/gm)];
  const imports = [
    ...fixed.map(([, , type, names = '', from = '']) => ({
      from,
      typeOnly: type !== undefined || /^\s*\{(\s*type [^,}]+,?)+\s*\}\s*$/.test(names),
    })),
    ...[...late, ...bare].map(([, from = '']) => ({ from, typeOnly: false })),
  ];
  return { path, room: roomOf(path), text, code, imports };
}

function roomOf(path: string): string {
  return path.split('/')[0] ?? path;
}

/** Imports of our own files, from `src/`. A module that the build generates has its types in a `.d.ts`. */
function ownImports(source: Source): string[] {
  return source.imports
    .filter(({ from }) => from.startsWith('.'))
    .map(({ from }) => normalize(join(dirname(source.path), from)).replace(/\.js$/, '.d.ts'));
}

function packageOf(from: string): string {
  return from
    .split('/')
    .slice(0, from.startsWith('@') ? 2 : 1)
    .join('/');
}

it('src has files, and every room is in the list', () => {
  expect(sources.length).toBeGreaterThan(10);
  const unknown = sources.filter(({ room }) => !ROOMS.includes(room));
  expect(unknown.map(({ path }) => path)).toEqual([]);
});

describe('imports', () => {
  it('point down the list of rooms, type-only ones too', () => {
    const wrong = sources.flatMap((source) =>
      ownImports(source)
        .filter((to) => ROOMS.indexOf(roomOf(to)) < ROOMS.indexOf(source.room))
        .map((to) => `${source.path} imports ${to}`),
    );
    expect(wrong).toEqual([]);
  });

  it('of files in src name an existing file with its extension', () => {
    const paths = new Set(sources.map(({ path }) => path));
    const wrong = sources.flatMap((source) =>
      ownImports(source)
        .filter((to) => !paths.has(to))
        .map((to) => `${source.path} imports ${to}`),
    );
    expect(wrong).toEqual([]);
  });

  it('form no circle, type-only ones included', () => {
    const edges = new Map(sources.map((source) => [source.path, ownImports(source)]));
    const circles: string[] = [];
    const finished = new Set<string>();
    const visit = (path: string, above: readonly string[]) => {
      if (above.includes(path))
        circles.push([...above.slice(above.indexOf(path)), path].join(' -> '));
      if (above.includes(path) || finished.has(path)) return;
      for (const next of edges.get(path) ?? []) visit(next, [...above, path]);
      finished.add(path);
    };
    for (const path of edges.keys()) visit(path, []);
    expect(circles).toEqual([]);
  });

  it('of a foreign package stand in one file only', () => {
    const importers = new Map<string, Set<string>>();
    for (const source of sources)
      for (const { from, typeOnly } of source.imports) {
        if (from.startsWith('.') || from.startsWith('node:')) continue;
        const name = packageOf(from);
        if (name === 'commander' && (typeOnly || COMMANDER_VALUES.includes(source.path))) continue;
        importers.set(name, (importers.get(name) ?? new Set()).add(source.path));
      }
    for (const [name, files] of importers) {
      expect([...files], `importers of ${name}`).toHaveLength(1);
      if (IMPORTERS[name] !== undefined) expect([...files]).toEqual([IMPORTERS[name]]);
    }
  });

  it('of Node modules begin with node:', () => {
    const { dependencies } = JSON.parse(readFileSync(join(root, '../package.json'), 'utf8'));
    const wrong = sources.flatMap(({ path, imports }) =>
      imports
        .filter(({ from }) => !/^(\.|node:)/.test(from) && !(packageOf(from) in dependencies))
        .map(({ from }) => `${path} imports ${from}`),
    );
    expect(wrong).toEqual([]);
  });
});

describe('the process', () => {
  const outside = sources.filter(({ room, path }) => room !== 'cli' && !ENTRY_FILES.test(path));

  it('belongs to cli/; only the configuration reads the environment', () => {
    const wrong = outside.filter(({ path, code }) => {
      const uses = [...code.matchAll(/\bprocess\.(\w+)/g)].map(([, name]) => name);
      return uses.some((name = '') => !PROCESS_USES[path]?.includes(name));
    });
    expect(wrong.map(({ path }) => path)).toEqual([]);
    const hidden = outside.filter(({ imports }) =>
      imports.some(({ from }) => from === 'node:process'),
    );
    expect(hidden.map(({ path }) => path)).toEqual([]);
  });

  it('console belongs to cli/', () => {
    const wrong = outside.filter(({ code }) => /\bconsole\./.test(code));
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });
});

describe('every file', () => {
  it('takes its deadlines from time-limit.ts and not from AbortSignal.timeout', () => {
    const wrong = sources.filter(({ code }) => /\bAbortSignal\s*\.\s*timeout\b/.test(code));
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });

  it('begins with a comment that is a sentence', () => {
    const wrong = sources.filter(({ text }) => {
      const [first = '', second = ''] = text.split('\n');
      const line = first.startsWith('#!') ? second : first;
      return !/^\/\/ \S.*[.]$/.test(line) && !/^\/\*\* \S.*[.] \*\/$/.test(line);
    });
    expect(wrong.map(({ path }) => path).filter((path) => path !== 'index.ts')).toEqual([]);
  });

  it('has 200 lines at most, or a comment with the reason for more', () => {
    const long = sources
      .filter(({ text }) => text.split('\n').length > 201 && !LONG_REASON.test(text))
      .map(({ path, text }) => `${path}: ${text.split('\n').length - 1}`);
    expect(long).toEqual([]);
  });

  it('has named exports only, and no any', () => {
    const wrong = sources.filter(({ code }) => /^export default|: any\b|as any\b/m.test(code));
    expect(wrong.map(({ path }) => relative('.', path))).toEqual([]);
  });
});
