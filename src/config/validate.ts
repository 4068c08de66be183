// Checks configuration layers against config/schema.json; the only importer of ajv.
import { Ajv, type ErrorObject } from 'ajv';
import { PublishError } from '../core/errors.ts';
import { EXAMPLES, unitOfKey } from '../core/units.ts';
import type { Layer } from './layers.ts';
import { describeAllowed, readSchema, type SchemaNode } from './schema.ts';

/**
 * Each layer is checked by itself, so that the message names the place to mend.
 * @throws PublishError CONFIG naming the file or variable, the key, and what is allowed.
 */
export function validateLayers(layers: readonly Layer[]): void {
  const schema = readSchema();
  const validate = new Ajv({ allowUnionTypes: true, verbose: true }).compile(schema);
  for (const { source, values } of layers) {
    if (validate(values)) continue;
    const [error] = validate.errors ?? [];
    const said = error === undefined ? 'is not valid' : explain(schema, error);
    throw new PublishError('CONFIG', `${source}: ${said}`, { step: 'config' });
  }
}

function explain(schema: SchemaNode, error: ErrorObject): string {
  const path = error.instancePath.split('/').slice(1);
  const key = path.join('.') || 'the configuration';
  const node = nodeAt(schema, path);
  const unknown: unknown = error.params.additionalProperty;
  if (typeof unknown === 'string') {
    const allowed = Object.keys(node.properties ?? {}).join(', ');
    return `${[...path, unknown].join('.')} is not a known key; allowed here: ${allowed}`;
  }
  const given = JSON.stringify(error.data)?.slice(0, 100);
  const unit = unitOfKey(path.at(-1) ?? '');
  if (error.keyword === 'type' && unit !== undefined)
    return `${key} must be ${EXAMPLES[unit]}, not ${given}`;
  if (error.keyword === 'type' || error.keyword === 'enum')
    return `${key} must be ${describeAllowed(node)}, not ${given}`;
  if (error.keyword === 'pattern') return `${key} must ${patternInWords(node, given)}`;
  return `${key} ${error.message ?? 'is not valid'}, not ${given}`;
}

function patternInWords(node: SchemaNode, given: string): string {
  const start = node.pattern === '^/' ? 'be an absolute path' : 'start with http:// or https://';
  return `${start}, not ${given}`;
}

function nodeAt(schema: SchemaNode, path: readonly string[]): SchemaNode {
  return path.reduce<SchemaNode>(
    (node, key) => node.properties?.[key] ?? node.items ?? node,
    schema,
  );
}
