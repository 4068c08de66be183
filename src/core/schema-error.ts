// Errors of a compiled JSON schema, and the value at the path of an error. Pure.

/** The part of ajv's errors that messages are made from. */
export interface SchemaError {
  /** JSON pointer of the value, as `/disks/0/bus`; empty for the whole. */
  instancePath: string;
  /** The keyword of the schema that the value breaks, as `type`. */
  keyword: string;
  params: Readonly<Record<string, unknown>>;
  /** ajv's own words, as `must be >= 1`. */
  message?: string;
  /** Set if it is the name of a property that is wrong. */
  propertyName?: string;
}

/** The keys and indexes that lead to the value. */
export function pathOf({ instancePath }: SchemaError): string[] {
  return instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** The value below `root` at this path; undefined if there is none. */
export function valueAt(root: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (value, key) => (value as Record<string, unknown> | null | undefined)?.[key],
    root,
  );
}
