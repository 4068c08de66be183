// Compiles the JSON schemas of config/ into modules without dependencies; part of `npm run build`.
import { readFileSync, writeFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import standaloneCode from 'ajv/dist/standalone/index.js';

/** Each schema, and the module in `build` that checks values against it. Its types stand in a `.d.ts` of that name in `src`. */
const MODULES = {
  'config/schema.json': 'build/config/config-validator.js',
  'config/schemas/record.json': 'build/registry/record/record-validator.js',
};

const root = new URL('../', import.meta.url);

for (const [path, target] of Object.entries(MODULES)) {
  const schema = JSON.parse(readFileSync(new URL(path, root), 'utf8'), withoutProse);
  const ajv = new Ajv({
    strictTypes: true,
    allowUnionTypes: true,
    // NOTE: lengths are counted as JavaScript counts them, so the module needs no helper of ajv. It
    // logs that the option is deprecated; what is wrong with a schema is thrown.
    unicode: false,
    logger: false,
    code: { source: true, esm: true, lines: true },
  });
  const code = standaloneCode.default(ajv, ajv.compile(schema));
  if (/\brequire\(/.test(code)) throw new Error(`${path} needs a helper of ajv at run time`);
  writeFileSync(new URL(target, root), `// Compiled from ${path}.\n${code}\n`);
}

/** Keeps descriptions, which the module would carry as text, out of it. */
function withoutProse(key, value) {
  return key === 'description' && typeof value === 'string' ? undefined : value;
}
