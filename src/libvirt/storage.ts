// The storage pools of one libvirt, and the volumes in them.
import { dirname } from 'node:path';
import { isLibvirtError, VIR_ERR } from './errors.ts';
import type { Invoke } from './ffi/protocol.ts';
import type { VolumeXml } from './ffi/results.ts';
import { describeVolume, type Volume, volumeSnapshotXml } from './xml/storage-xml.ts';

export type { Volume } from './xml/storage-xml.ts';

/** Methods reject like those of `Connection`; a missing pool or volume is undefined, not an error. */
export class Storage {
  readonly #invoke: Invoke;

  constructor(invoke: Invoke) {
    this.#invoke = invoke;
  }

  /**
   * The volume with this path, in a pool that is active.
   *
   * NOTE: a pool knows only the files that existed when it was last refreshed. An overlay that a
   * snapshot made is a volume only after the next refresh.
   */
  async volumeByPath(path: string): Promise<Volume | undefined> {
    const known = await found(this.#invoke('volumeByPath', path));
    if (known) return describeVolume(known);
    const pool = await found(this.#invoke('poolByTargetPath', dirname(path)));
    if (pool === undefined) return undefined;
    await this.#invoke('refreshPool', pool);
    return described(await found(this.#invoke('volumeByPath', path)));
  }

  async volumeByName(pool: string, name: string): Promise<Volume | undefined> {
    return described(await found(this.#invoke('volumeByName', pool, name)));
  }

  /** Lets the pool find volumes that were made or removed without libvirt. */
  refreshPool(pool: string): Promise<void> {
    return this.#invoke('refreshPool', pool);
  }

  /** Lets the pool make a volume with the present content of `origin` (LVM). */
  createSnapshotVolume(origin: Volume, name: string): Promise<void> {
    return this.#invoke('createVolume', origin.pool.name, volumeSnapshotXml(origin, name));
  }

  /** Resolves also if the volume does not exist. */
  async deleteVolume(pool: string, name: string): Promise<void> {
    await found(this.#invoke('deleteVolume', pool, name));
  }
}

function described(xml: VolumeXml | undefined): Volume | undefined {
  return xml && describeVolume(xml);
}

async function found<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (MISSING.some((code) => isLibvirtError(error, code))) return undefined;
    throw error;
  }
}

const MISSING = [VIR_ERR.NO_STORAGE_POOL, VIR_ERR.NO_STORAGE_VOL] as const;
