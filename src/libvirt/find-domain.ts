// Finds a domain by what a person may call it: name, UUID or id.
import { PublishError } from '../errors.ts';
import type { Connection } from './connection.ts';
import type { Domain } from './domain.ts';
import { isLibvirtError, VIR_ERR } from './errors.ts';

const UUID = /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;
// Of a 32-bit signed integer, the digits that always fit.
const ID = /^\d{1,9}$/;
const MAX_SUGGESTIONS = 5;

/**
 * A name wins over a UUID, and that over an id: a domain may be called "7".
 * @throws PublishError DOMAIN_NOT_FOUND with the names that come near; LibvirtError for the rest.
 */
export async function findDomain(connection: Connection, ref: string): Promise<Domain> {
  const tries = ref === '' || ref.includes('\0') ? [] : [() => connection.lookupByName(ref)];
  if (UUID.test(ref)) tries.push(() => connection.lookupByUUIDString(ref));
  if (ID.test(ref)) tries.push(() => connection.lookupByID(Number(ref)));
  for (const look of tries) {
    try {
      return await look();
    } catch (error) {
      if (!isLibvirtError(error, VIR_ERR.NO_DOMAIN)) throw error;
    }
  }
  throw notFound(
    connection.uri,
    ref,
    (await connection.listAllDomains()).map(({ name }) => name),
  );
}

function notFound(uri: string, ref: string, names: readonly string[]): PublishError {
  return new PublishError(
    'DOMAIN_NOT_FOUND',
    `no domain ${JSON.stringify(ref)} at ${uri}: ${hint(ref, names)}`,
    { step: 'inspect' },
  );
}

function hint(ref: string, names: readonly string[]): string {
  if (names.length === 0) {
    return 'there are no domains at all; is it the right URI (qemu:///system or qemu:///session)?';
  }
  const near = closeNames(ref, names);
  if (near.length > 0)
    return `did you mean ${near.map((name) => JSON.stringify(name)).join(', ')}?`;
  return `none of the ${names.length} domains there is called that; see virsh list --all`;
}

/** The names that hold the reference, are held by it, or are a few typing errors away; nearest first. */
export function closeNames(ref: string, names: readonly string[]): string[] {
  const wanted = ref.toLowerCase();
  return names
    .map((name) => ({ name, distance: distanceOf(wanted, name.toLowerCase()) }))
    .filter(({ distance }) => distance <= Math.max(2, Math.floor(wanted.length / 3)))
    .sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))
    .slice(0, MAX_SUGGESTIONS)
    .map(({ name }) => name);
}

function distanceOf(wanted: string, name: string): number {
  const long = Math.min(wanted.length, name.length) > 2;
  const contained = long && (name.includes(wanted) || wanted.includes(name));
  return contained ? 1 : editDistance(wanted, name);
}

/** Levenshtein's: insertions, deletions and replacements that turn one into the other. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, replace));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
