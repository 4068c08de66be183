// Bundles what ships: `build` (the compiled modules) and the packages that they use become a few files in `dist`.
import { fileURLToPath } from 'node:url';
import { defineConfig, type RolldownOptions } from 'rolldown';
import { thirdParty } from './third-party.ts';

// NOTE: opening some 480 files takes a quarter of a second, and where the page cache has lost them
// twice that: as long as a small run itself.
const PROGRAMS = { 'cli/main': 'cli/main', 'library/index': 'index' };
/** In a process or thread of their own nothing is shared, so each is one file. */
const BESIDE = [
  'run/guard-main',
  'libvirt/worker',
  'transfer/digest-worker',
  'image/image-worker',
  'image/compressed-image-worker',
  'image/planned-reader-worker',
];
/** Their code is not JavaScript, or finds it beside its own files. */
const NATIVE = ['koffi', '@node-rs/crc32'];

const root = fileURLToPath(new URL('..', import.meta.url));
const notices = thirdParty(`${root}node_modules/`);

/** Every command uses most of `core`: one file of it instead of some twenty. */
const CORE = { groups: [{ name: 'core', test: /\/build\/core\// }] };

export default defineConfig([
  options(PROGRAMS, { codeSplitting: CORE }),
  ...BESIDE.map((name) => options({ [name]: name }, { codeSplitting: false })),
]);

/**
 * NOTE: every file lies one folder deep, as the modules that name a file by `import.meta.url` do
 * (core/package-files.ts). Not minified: the lines of a stack can be read without a source map.
 */
function options(
  modules: Record<string, string>,
  output: RolldownOptions['output'] = {},
): RolldownOptions {
  const inputs = Object.entries(modules).map(([name, path]) => [name, `${root}build/${path}.js`]);
  return {
    input: Object.fromEntries(inputs),
    platform: 'node',
    // NOTE: of packages that come both ways (the AWS SDK) the CommonJS way can only be bundled, and
    // loaded, as a whole: twice the code, and 70 ms.
    resolve: { mainFields: ['module', 'main'], conditionNames: ['module'] },
    external: NATIVE,
    plugins: [notices],
    // What one command loads late another loads at once.
    checks: { ineffectiveDynamicImport: false },
    logLevel: 'warn',
    output: {
      ...{ dir: `${root}dist`, format: 'es', comments: { jsdoc: false } },
      ...{ entryFileNames: '[name].js', chunkFileNames: 'chunks/[name].js' },
      ...output,
    },
  };
}
