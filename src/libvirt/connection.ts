// A connection to the libvirt daemon of this host.
import { messageOf, PublishError } from '../core/errors.ts';
import { Domain } from './domain.ts';
import { isLibvirtError, type LibvirtError, VIR_ERR } from './errors.ts';
import type { VolumePlace } from './ffi/results.ts';
import { type CallLimits, WorkerClient } from './ffi/worker-client.ts';
import { Storage } from './storage.ts';
import { requireLocalQemu } from './uri.ts';

/**
 * Opens a connection with a thread of its own.
 * @throws PublishError CONFIG if the URI is not QEMU on this host; LIBVIRT if libvirt cannot be
 * reached, with a hint.
 */
export async function openConnection(uri: string, limits: CallLimits = {}): Promise<Connection> {
  requireLocalQemu(uri);
  const client = new WorkerClient(uri, limits);
  try {
    await client.invoke('open', uri);
  } catch (error) {
    await client.end();
    throw noConnection(uri, error);
  }
  return new Connection(uri, client);
}

/**
 * Methods keep libvirt's names without `virConnect` and `virDomain`. All reject with LibvirtError,
 * or with PublishError LIBVIRT once the connection is closed, broken, or does not answer in time.
 * Calls on one connection run one after the other, in order.
 */
export class Connection {
  readonly uri: string;
  readonly #client: WorkerClient;

  constructor(uri: string, client: WorkerClient) {
    this.uri = uri;
    this.#client = client;
  }

  /** Version of libvirt as 1,000,000 x major + 1,000 x minor + release. */
  getLibVersion(): Promise<number> {
    return this.#client.invoke('getLibVersion');
  }

  /** Version of QEMU, numbered like libvirt's. */
  getVersion(): Promise<number> {
    return this.#client.invoke('getVersion');
  }

  async lookupByName(name: string): Promise<Domain> {
    return new Domain(this.#client.invoke, await this.#client.invoke('lookupByName', name));
  }

  async lookupByUUIDString(uuid: string): Promise<Domain> {
    return new Domain(this.#client.invoke, await this.#client.invoke('lookupByUUIDString', uuid));
  }

  /** `id` is the number of a running domain that `virsh list` shows. */
  async lookupByID(id: number): Promise<Domain> {
    return new Domain(this.#client.invoke, await this.#client.invoke('lookupByID', id));
  }

  /** All domains, running or not. */
  async listAllDomains(): Promise<Domain[]> {
    const refs = await this.#client.invoke('listAllDomains', 0);
    return refs.map((ref) => new Domain(this.#client.invoke, ref));
  }

  /** virStorageVolLookupByName and virStorageVolGetPath; the pool must be started. */
  lookupVolume(pool: string, volume: string): Promise<VolumePlace> {
    return this.#client.invoke('lookupVolume', pool, volume);
  }

  /** Whether a network of this name is started; false if there is none. */
  networkIsActive(name: string): Promise<boolean> {
    return falseIf(VIR_ERR.NO_NETWORK, this.#client.invoke('networkIsActive', name));
  }

  /** Whether a storage pool of this name is started; false if there is none. */
  poolIsActive(name: string): Promise<boolean> {
    return falseIf(VIR_ERR.NO_STORAGE_POOL, this.#client.invoke('poolIsActive', name));
  }

  /** virDomainDefineXMLFlags: makes a domain persistent, or changes its persistent definition. */
  async defineXML(xml: string, flags = 0): Promise<Domain> {
    return new Domain(this.#client.invoke, await this.#client.invoke('defineXML', xml, flags));
  }

  /** The storage pools and volumes of this connection. */
  get storage(): Storage {
    return new Storage(this.#client.invoke);
  }

  /** False if libvirtd has ended, or a call exceeded its deadline: a new connection is needed then. */
  async isAlive(): Promise<boolean> {
    try {
      return await this.#client.invoke('isAlive');
    } catch (error) {
      if (isLibvirtError(error) || error instanceof PublishError) return false;
      throw error;
    }
  }

  /** Rejects the pending calls and all later ones with PublishError LIBVIRT. Never rejects. */
  abandon(): Promise<void> {
    return this.#client.abandon();
  }

  /** Waits for the pending calls, then ends the thread. Never rejects; may be called again. */
  close(): Promise<void> {
    return this.#client.end();
  }
}

async function falseIf(code: number, answer: Promise<boolean>): Promise<boolean> {
  try {
    return await answer;
  } catch (error) {
    if (isLibvirtError(error, code)) return false;
    throw error;
  }
}

function noConnection(uri: string, error: unknown): Error {
  if (!isLibvirtError(error)) return error instanceof Error ? error : new Error(messageOf(error));
  return new PublishError('LIBVIRT', `cannot connect to libvirt at ${uri}: ${error.message}`, {
    step: 'inspect',
    retryable: true,
    cause: error,
    hint: hintFor(error),
  });
}

// libvirt gives a socket without permission and a missing one the same code (VIR_ERR_SYSTEM_ERROR),
// so the hint, and nothing but the hint, is chosen by the text.
function hintFor(error: LibvirtError): string {
  if (/denied|authentication|permission/i.test(error.message)) {
    return 'run as root or as a member of the group "libvirt"';
  }
  return 'start libvirtd (or virtqemud) on this host, or choose another URI with --connect';
}
