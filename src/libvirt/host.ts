// The two libvirt connections of a run: one for the work, one for calls that must not wait behind it.
import { type Connection, openConnection } from './connection.ts';
import type { Domain } from './domain.ts';
import { isLibvirtError, VIR_ERR } from './errors.ts';
import type { CallLimits } from './ffi/worker-client.ts';

/** How long one call may take, on either connection. */
export interface HostTimeouts {
  callMs: number;
  /** Limit of a call on the work connection that waits for a guest or a storage; `callMs` if left out. */
  longMs?: number;
}

/**
 * Two connections to one libvirt, each opened when it is needed, and again after it broke (libvirtd was
 * restarted, a call hung).
 *
 * NOTE: a connection runs one call at a time. `control` is for the calls that watch or end a long one:
 * abort a managed save, thaw while an abort hangs.
 */
export class Host {
  readonly uri: string;
  readonly #work: Reopened;
  readonly #control: Reopened;

  constructor(uri: string, { callMs, longMs }: HostTimeouts) {
    this.uri = uri;
    this.#work = new Reopened(uri, { callTimeoutMs: callMs, longCallTimeoutMs: longMs });
    this.#control = new Reopened(uri, { callTimeoutMs: callMs });
  }

  /** @throws PublishError LIBVIRT, CONFIG */
  work(): Promise<Connection> {
    return this.#work.get();
  }

  /** @throws PublishError LIBVIRT, CONFIG */
  control(): Promise<Connection> {
    return this.#control.get();
  }

  /** Looks the domain up; undefined if libvirt does not have it. */
  async domain(uuid: string): Promise<Domain | undefined> {
    return findByUuid(await this.work(), uuid);
  }

  /** Looks the domain up on the control connection. */
  async domainForControl(uuid: string): Promise<Domain | undefined> {
    return findByUuid(await this.control(), uuid);
  }

  /** Rejects a call that hangs on the work connection; the next call opens a new connection. */
  abandonWork(): Promise<void> {
    return this.#work.abandon();
  }

  async close(): Promise<void> {
    await Promise.all([this.#work.close(), this.#control.close()]);
  }
}

/** One connection; concurrent calls of `get` open it once. */
class Reopened {
  readonly #uri: string;
  readonly #limits: CallLimits;
  #connection: Connection | undefined;
  #getting: Promise<Connection> | undefined;

  constructor(uri: string, limits: CallLimits) {
    this.#uri = uri;
    this.#limits = limits;
  }

  get(): Promise<Connection> {
    this.#getting ??= this.#alive().finally(() => {
      this.#getting = undefined;
    });
    return this.#getting;
  }

  async abandon(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    await connection?.abandon();
  }

  /** Closes also a connection that is being opened. */
  async close(): Promise<void> {
    await this.#getting?.catch(() => undefined);
    await this.#connection?.close();
  }

  async #alive(): Promise<Connection> {
    const connection = this.#connection;
    if (connection && (await connection.isAlive())) return connection;
    await connection?.close();
    this.#connection = await openConnection(this.#uri, this.#limits);
    return this.#connection;
  }
}

async function findByUuid(connection: Connection, uuid: string): Promise<Domain | undefined> {
  try {
    return await connection.lookupByUUIDString(uuid);
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.NO_DOMAIN)) return undefined;
    throw error;
  }
}
