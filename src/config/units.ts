// Turns times and sizes that are texts with units into numbers.
import { PublishError } from '../core/errors.ts';
import { EXAMPLES, parseUnit, type Unit, unitOfKey } from '../core/units.ts';
import type { ConfigLayer } from './layers.ts';
import type { SchemaNode } from './schema.ts';

/**
 * Returns the layer with each text such as `"30s"` of a key in `Ms`, `Bytes` or `Mib` as a number of
 * that unit. Everything else stays, also values that the schema refuses.
 * @throws PublishError CONFIG naming the source, the key and what is allowed
 */
export function withoutUnits({ source, values }: ConfigLayer, schema: SchemaNode): ConfigLayer {
  return { source, values: convert(values, { node: schema, path: [], source }) };
}

interface Place {
  node: SchemaNode;
  path: readonly string[];
  source: string;
}

function convert(value: unknown, { node, path, source }: Place): unknown {
  const { properties } = node;
  if (properties !== undefined) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, below]) => {
        const child = Object.hasOwn(properties, key) ? properties[key] : undefined;
        const place = child && { node: child, path: [...path, key], source };
        return [key, place === undefined ? below : convert(below, place)];
      }),
    );
  }
  const unit = unitOfKey(path.at(-1) ?? '');
  if (unit === undefined || typeof value !== 'string') return value;
  return toNumber(value, unit, { node, path, source });
}

/** A cap that must be whole is rounded down, but never to 0, which means none. */
function toNumber(text: string, unit: Unit, { node, path, source }: Place): number {
  const exact = parseUnit(text, unit);
  const isWhole = [node.type ?? []].flat().includes('integer');
  const value = exact === undefined ? Number.NaN : isWhole ? Math.floor(exact) : exact;
  if (!Number.isNaN(value) && (value > 0 || exact === 0)) return value;
  const why = Number.isNaN(value) ? '' : ` (less than 1 ${unit})`;
  const message = `${source}: ${path.join('.')} must be ${EXAMPLES[unit]}, not ${JSON.stringify(text)}${why}`;
  const hint = 'correct the value, or remove it to use the default';
  throw new PublishError('CONFIG', message, { step: 'config', hint });
}
