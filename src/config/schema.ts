// Reads config/schema.json: the keys, their types and descriptions.
import { readFileSync } from 'node:fs';

/** One node of the schema: a group of keys, or a key. */
export interface SchemaNode {
  description?: string;
  type?: string | readonly string[];
  enum?: readonly string[];
  pattern?: string;
  minLength?: number;
  minimum?: number;
  maximum?: number;
  items?: SchemaNode;
  properties?: Readonly<Record<string, SchemaNode>>;
}

/** A key that holds a value, such as `snapshot.format`. */
export interface Setting {
  path: readonly string[];
  /** `VIRT_PUBLISH_SNAPSHOT_FORMAT`. */
  variable: string;
  node: SchemaNode;
}

/** Reads a JSON file of the folder `config/`, which is beside `dist/` in the package. */
export function readConfigAsset(name: 'default.json' | 'schema.json'): unknown {
  return JSON.parse(readFileSync(new URL(`../../config/${name}`, import.meta.url), 'utf8'));
}

export function readSchema(): SchemaNode {
  return readConfigAsset('schema.json') as SchemaNode;
}

/** Returns all settings, in the order of the schema. */
export function listSettings(node: SchemaNode, path: readonly string[] = []): Setting[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) => {
    const here = [...path, key];
    if (child.properties !== undefined) return listSettings(child, here);
    return [{ path: here, variable: variableOf(here), node: child }];
  });
}

/** Returns what a key allows, in words for a message. */
export function describeAllowed(node: SchemaNode): string {
  if (node.enum !== undefined) return `one of ${node.enum.join(', ')}`;
  if (node.properties !== undefined)
    return `an object with ${Object.keys(node.properties).join(', ')}`;
  const types = typeof node.type === 'string' ? [node.type] : (node.type ?? []);
  const list = node.items === undefined ? '' : ` of ${describeAllowed(node.items)}`;
  return types.map((type) => (type === 'array' ? `a list${list}` : type)).join(' or ');
}

/** `VIRT_PUBLISH_SNAPSHOT_FORMAT` for `snapshot`, `format`. */
export function variableOf(path: readonly string[]): string {
  const words = path.map((key) => key.replace(/([A-Z])/g, '_$1').toUpperCase());
  return `VIRT_PUBLISH_${words.join('_')}`;
}
