// Finds a domain by its name, UUID or id.
import { closeNames, didYouMean } from '../core/close-names.ts';
import { PublishError } from '../core/errors.ts';
import type { Connection } from './connection.ts';
import type { Domain } from './domain.ts';
import { isLibvirtError, VIR_ERR } from './errors.ts';

const UUID = /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;
// The number of digits that always fit a 32-bit signed integer.
const ID = /^\d{1,9}$/;

/**
 * Looks for a name first, then a UUID, then an id: a domain may be called "7".
 * @throws PublishError DOMAIN_NOT_FOUND with close names in the hint; LibvirtError for other failures
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
  return new PublishError('DOMAIN_NOT_FOUND', `no domain ${JSON.stringify(ref)} at ${uri}`, {
    step: 'inspect',
    hint: hintFor(ref, names),
  });
}

function hintFor(ref: string, names: readonly string[]): string {
  if (names.length === 0) {
    return 'check --connect (qemu:///system or qemu:///session): there is no domain at all';
  }
  const near = didYouMean(closeNames(ref, names));
  if (near !== undefined) return near;
  return `check virsh list --all: none of the ${names.length} domains has that name`;
}
