// Checks configuration layers against config/schema.json, which the build compiles.
import { PublishError } from '../core/errors.ts';
import { pathOf, type SchemaError, valueAt } from '../core/schema-error.ts';
import { EXAMPLES, unitOfKey } from '../core/units.ts';
import { validate } from './config-validator.js';
import { formerKey } from './former-keys.ts';
import type { ConfigLayer } from './layers.ts';
import { describeAllowed, readSchema, type SchemaNode } from './schema.ts';

/**
 * Checks each layer by itself, so that the message names the file or variable.
 * @throws PublishError CONFIG naming the file or variable, the key, and what is allowed.
 */
export function validateLayers(layers: readonly ConfigLayer[]): void {
  for (const layer of layers) {
    if (validate(layer.values)) continue;
    const [error] = validate.errors ?? [];
    const { problem, hint } = error === undefined ? UNKNOWN : explain(layer.values, error);
    throw new PublishError('CONFIG', `${layer.source}: ${problem}`, { step: 'config', hint });
  }
}

interface Problem {
  problem: string;
  hint: string;
}

const HINT = 'correct the value, or remove it to use the default';
const UNKNOWN: Problem = { problem: 'the configuration is not valid', hint: HINT };

function explain(values: unknown, error: SchemaError): Problem {
  const path = pathOf(error);
  const node = nodeAt(readSchema(), path);
  const unknown = error.params.additionalProperty;
  if (typeof unknown === 'string') return explainUnknown([...path, unknown], node);
  const key = path.join('.') || 'the configuration';
  const given = JSON.stringify(valueAt(values, path))?.slice(0, 100);
  return { problem: `${key} ${requirement(error, node, path.at(-1))}, not ${given}`, hint: HINT };
}

function explainUnknown(path: readonly string[], node: SchemaNode): Problem {
  const key = path.join('.');
  const former = formerKey(key);
  if (former !== undefined) return { problem: `${key} ${former.problem}`, hint: former.hint };
  const allowed = Object.keys(node.properties ?? {}).join(', ');
  return { problem: `${key} is not a known key`, hint: `remove it; known here: ${allowed}` };
}

function requirement(error: SchemaError, node: SchemaNode, name = ''): string {
  const unit = unitOfKey(name);
  if (error.keyword === 'type' && unit !== undefined) return `must be ${EXAMPLES[unit]}`;
  if (error.keyword === 'type' || error.keyword === 'enum')
    return `must be ${describeAllowed(node)}`;
  if (error.keyword === 'pattern') return `must ${PATTERNS[node.pattern ?? ''] ?? node.pattern}`;
  return error.message ?? 'is not valid';
}

/** What the patterns of texts ask for, in words. */
const PATTERNS: Readonly<Record<string, string>> = {
  '^/': 'be an absolute path',
  '^https?://': 'start with http:// or https://',
  '^[0-7]{3,4}$': 'be an octal mode such as 2770',
};

function nodeAt(schema: SchemaNode, path: readonly string[]): SchemaNode {
  return path.reduce<SchemaNode>(
    (node, key) => node.properties?.[key] ?? node.items ?? node,
    schema,
  );
}
