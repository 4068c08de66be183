// One worker's connection and the C handles of the domains it has seen.
import { checkNull, checkNumber } from './check.ts';
import {
  virConnectClose,
  virConnectOpen,
  virDomainFree,
  virDomainGetName,
  virDomainGetUUIDString,
  virDomainLookupByUUIDString,
} from './ffi.ts';
import type { Pointer } from './native.ts';
import type { DomainRef } from './protocol.ts';

// VIR_UUID_STRING_BUFLEN: 36 characters and the end mark.
const UUID_BUFFER_SIZE = 37;

/**
 * Handles by UUID. libvirtd finds a domain by the UUID in the handle at every call, so one handle
 * serves a domain through undefine and redefine, and there are never more than there are domains.
 */
export class Handles {
  #connection: Pointer | undefined;
  #uri = '';
  readonly #domains = new Map<string, Pointer>();

  open(uri: string): void {
    this.#connection = checkNull('virConnectOpen', virConnectOpen(uri));
    this.#uri = uri;
  }

  /** @throws Error where `open` did not come first: a mistake in this package. */
  get connection(): Pointer {
    if (this.#connection === undefined) throw new Error('the libvirt connection is not open');
    return this.#connection;
  }

  get uri(): string {
    return this.#uri;
  }

  /** Keeps a new handle under its UUID and frees the one that was there. */
  keep(domain: Pointer): DomainRef {
    const buffer = Buffer.alloc(UUID_BUFFER_SIZE);
    checkNumber('virDomainGetUUIDString', virDomainGetUUIDString(domain, buffer));
    const uuid = buffer.toString('latin1', 0, UUID_BUFFER_SIZE - 1);
    const name = checkNull('virDomainGetName', virDomainGetName(domain));
    const former = this.#domains.get(uuid);
    if (former !== undefined) virDomainFree(former);
    this.#domains.set(uuid, domain);
    return { name, uuid };
  }

  domain(uuid: string): Pointer {
    const known = this.#domains.get(uuid);
    if (known !== undefined) return known;
    const found = checkNull(
      'virDomainLookupByUUIDString',
      virDomainLookupByUUIDString(this.connection, uuid),
    );
    this.keep(found);
    return found;
  }

  close(): void {
    for (const domain of this.#domains.values()) virDomainFree(domain);
    this.#domains.clear();
    if (this.#connection !== undefined) virConnectClose(this.#connection);
    this.#connection = undefined;
  }
}
