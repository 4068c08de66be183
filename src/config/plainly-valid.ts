// A quick look at configuration that is right at first sight, so that ajv need not be loaded for it.
import type { SchemaNode } from './schema.ts';

/**
 * True only where the schema accepts the value; false says nothing. Known keys with strings,
 * booleans, nulls, numbers and words of a list are seen to be right; lists are left to ajv.
 */
export function isPlainlyValid(node: SchemaNode, value: unknown): boolean {
  const { properties } = node;
  if (properties !== undefined) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
    return Object.entries(value).every(([key, below]) => {
      const child = Object.hasOwn(properties, key) ? properties[key] : undefined;
      return child !== undefined && isPlainlyValid(child, below);
    });
  }
  if (typeof value === 'string' && node.enum !== undefined) return node.enum.includes(value);
  const types = [node.type ?? []].flat();
  if (value === null) return types.includes('null');
  if (typeof value === 'boolean') return types.includes('boolean');
  if (typeof value === 'number') return isNumberFit(node, types, value);
  return typeof value === 'string' && types.includes('string') && isFit(node, value);
}

function isFit({ pattern, minLength = 0 }: SchemaNode, value: string): boolean {
  return value.length >= minLength && (pattern === undefined || new RegExp(pattern).test(value));
}

function isNumberFit(
  { minimum = -Number.MAX_VALUE, maximum = Number.MAX_VALUE }: SchemaNode,
  types: readonly string[],
  value: number,
): boolean {
  const isOfType =
    types.includes('number') || (types.includes('integer') && Number.isSafeInteger(value));
  return isOfType && value >= minimum && value <= maximum;
}
