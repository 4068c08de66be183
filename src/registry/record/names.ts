// Rules for ids, aliases and names of objects in a registry. Pure.
import { PublishError } from '../../core/errors.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** Characters of a name, a tag, a property's key, an alias. */
export const MAX_NAME = 255;

export function isImageId(text: string): boolean {
  return UUID.test(text);
}

/**
 * Segments of `A-Z a-z 0-9 . _ -`, joined by `/`, 255 characters at most. No segment begins with a
 * dot or looks like a version (`00000001.json`), which stands beside it in the registry.
 * @throws USAGE
 */
export function assertAlias(alias: string): void {
  if (isAlias(alias)) return;
  throw usage(
    `${JSON.stringify(alias)} cannot be an alias`,
    'use letters, digits, ".", "_" and "-", with "/" between, as in web/latest',
  );
}

/** True for what `assertAlias` lets pass. */
export function isAlias(text: string): boolean {
  return (
    text.length <= MAX_NAME &&
    text
      .split('/')
      .every((part) => /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(part) && !/^\d+\.json$/.test(part))
  );
}

/**
 * The name of an object beside the data (`vda.qcow2`, `domain.xml`): one segment of a key. `record`
 * is taken by the versions of the record.
 * @throws USAGE
 */
export function assertObjectName(name: string): void {
  const problem = objectNameProblem(name);
  if (problem !== undefined) throw usage(problem);
}

// NOTE: a record may have been written by any client, and its object names become keys and, in a directory,
// paths: no name may lead anywhere but to a file beside the others.
export function objectNameProblem(name: string): string | undefined {
  if (/^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$/.test(name) && name !== 'record') return undefined;
  return `${describe(name)} cannot be the name of an object of an image`;
}

/** A name as a file name that needs no quoting and leads nowhere. */
export function fileNameOf(name: string): string {
  const plain = name.replace(/[^A-Za-z0-9._@+-]+/g, '_').replace(/^[.-]+/, '');
  return plain === '' ? 'image' : plain.slice(0, 200);
}

/**
 * Returns a value for a message: short, and always on one line.
 *
 * NOTE: of a list or an object only that it is one. What another client wrote can nest so deep that
 * JSON.stringify runs out of stack.
 */
export function describe(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value !== 'string') return String(value);
  const text = JSON.stringify(value.slice(0, SHOWN));
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}

const SHOWN = 60;

/** Returns USAGE; without `hint` it has the hint of that code. */
export function usage(message: string, hint?: string): PublishError {
  const options = { step: 'registry', ...(hint === undefined ? {} : { hint }) } as const;
  return new PublishError('USAGE', message, options);
}
