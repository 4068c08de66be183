// The connections of one run: one for the work, one for what must not wait behind it.
import { type Connection, openConnection } from './connection.ts';
import type { Domain } from './domain.ts';
import { isLibvirtError, VIR_ERR } from './errors.ts';

/** The longest that one call may take: work waits for a managed save, control for nothing long. */
export interface HostTimeouts {
  workMs: number;
  controlMs: number;
}

/**
 * Two connections to one libvirt, each opened when it is needed and again when it has broken
 * (libvirtd was restarted, a call did not come back).
 *
 * NOTE: a connection does one call at a time. `control` is there for the calls that end or watch a
 * long one: abort a managed save, thaw while an abort hangs.
 */
export class Host {
  readonly uri: string;
  readonly #timeouts: HostTimeouts;
  #work: Connection | undefined;
  #control: Connection | undefined;

  constructor(uri: string, timeouts: HostTimeouts) {
    this.uri = uri;
    this.#timeouts = timeouts;
  }

  /** @throws PublishError LIBVIRT, CONFIG */
  async work(): Promise<Connection> {
    this.#work = await this.#alive(this.#work, this.#timeouts.workMs);
    return this.#work;
  }

  /** @throws PublishError LIBVIRT, CONFIG */
  async control(): Promise<Connection> {
    this.#control = await this.#alive(this.#control, this.#timeouts.controlMs);
    return this.#control;
  }

  /** The domain as it is now, or undefined where libvirt does not know it (any more). */
  async domain(uuid: string): Promise<Domain | undefined> {
    return findByUuid(await this.work(), uuid);
  }

  /** The same on the control connection. */
  async domainForControl(uuid: string): Promise<Domain | undefined> {
    return findByUuid(await this.control(), uuid);
  }

  /** A call on the work connection hangs: it rejects, and the next call opens a connection anew. */
  async giveUpWork(): Promise<void> {
    const work = this.#work;
    this.#work = undefined;
    await work?.giveUp();
  }

  async close(): Promise<void> {
    await Promise.all([this.#work?.close(), this.#control?.close()]);
  }

  async #alive(connection: Connection | undefined, callTimeoutMs: number): Promise<Connection> {
    if (connection && (await connection.isAlive())) return connection;
    await connection?.close();
    return openConnection(this.uri, { callTimeoutMs });
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
