// Probes the capabilities that writes need before the first write, and keeps the results.
import { createHash } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { messageOf } from '../../core/errors.ts';
import type { OnEvent } from '../../core/events.ts';
import { orMissing, parseJson } from '../../host/files/file-errors.ts';
import { isOwnFolder, makeFolders, PRIVATE } from '../../host/files/own-folders.ts';
import type { CallOptions } from '../object-info.ts';
import type { ObjectStore } from '../object-store.ts';
import type { Capability } from './capability.ts';

/** How long a result is valid: a server may be replaced or upgraded. */
const VALID_MS = 30 * 24 * 3600 * 1000;

/** Returns the folder below `cacheDir` that keeps what is known of this registry. */
export function cacheFolder(cacheDir: string, store: ObjectStore): string {
  const name = `${store.location?.server ?? ''}\n${store.url}`;
  return join(cacheDir, 'registries', createHash('sha256').update(name).digest('hex').slice(0, 32));
}

/** The capabilities that writes need, in the order of their probes. */
const MATTERS = ['create-only', 'create-only-parts', 'checksum'] as const;

/** Probes, before the first write of a process, what is not known yet. */
export class FirstWrite {
  readonly #store: ObjectStore;
  readonly #folder: string | undefined;
  readonly #onEvent: OnEvent;
  #found: Promise<readonly Capability[]> | undefined;

  /** `folder` keeps the results; nothing is kept if it is left out. */
  constructor(store: ObjectStore, folder: string | undefined, onEvent: OnEvent) {
    this.#store = store;
    this.#folder = folder;
    this.#onEvent = onEvent;
  }

  /**
   * Warns once if a race has more than one winner. Never fails: if a store cannot be used, the write
   * itself fails with the reason.
   */
  async check(options: CallOptions): Promise<void> {
    await this.#capabilities(options);
  }

  /** Whether the store refuses a part whose checksum is wrong. Never fails. */
  async refusesWrongChecksum(options: CallOptions): Promise<boolean> {
    const found = await this.#capabilities(options);
    return found.some(({ name, supported }) => name === 'checksum' && supported === true);
  }

  #capabilities(options: CallOptions): Promise<readonly Capability[]> {
    this.#found ??= this.#find(options);
    return this.#found;
  }

  async #find({ signal }: CallOptions): Promise<readonly Capability[]> {
    // NOTE: a directory's create is link(2): a file system without it fails, and never lets two win.
    if (this.#store.moveIn !== undefined) return [];
    try {
      const found = (await this.#known()) ?? (await this.#probe(signal));
      const createOnly = found.find(({ name }) => name === 'create-only');
      if (createOnly?.supported === false)
        this.#warn(`this registry is not safe for many: ${createOnly.detail}`);
      const isBucket = this.#store.location !== undefined;
      const untried = found.find(
        ({ name, supported }) => name !== 'checksum' && supported === null,
      );
      if (isBucket && untried !== undefined) this.#warn(`${untried.name}: ${untried.detail}`);
      return found;
    } catch (error) {
      this.#warn(`whether writes can be lost in a race could not be tried: ${messageOf(error)}`);
      return [];
    }
  }

  async #known(): Promise<readonly Capability[] | undefined> {
    // A file of another user could claim falsely that a store loses no writes.
    if (this.#folder === undefined || !isOwnFolder(this.#folder)) return undefined;
    const text = await orMissing(readFile(this.#path(), 'utf8'));
    const kept = parseJson(text ?? '') as { at?: number; capabilities?: Capability[] } | undefined;
    const age = Date.now() - (kept?.at ?? 0);
    return age >= 0 && age < VALID_MS ? kept?.capabilities : undefined;
  }

  async #probe(signal: AbortSignal | undefined): Promise<readonly Capability[]> {
    const { probeCapabilities } = await import('./probe-capabilities.ts');
    const capabilities = await probeCapabilities(this.#store, { only: MATTERS, signal });
    const isSure = capabilities.every(
      ({ name, supported }) =>
        supported !== null || (name !== 'create-only' && !this.#store.location),
    );
    if (this.#folder === undefined || !isSure) return capabilities;
    const temporary = `${this.#path()}.new`;
    try {
      makeFolders(dirname(temporary), PRIVATE);
      await writeFile(temporary, JSON.stringify({ at: Date.now(), capabilities }), { mode: 0o600 });
      await rename(temporary, this.#path());
    } catch (error) {
      // Found out again by the next process: slower, not wrong.
      if (!(error instanceof Error)) throw error;
    }
    return capabilities;
  }

  #path(): string {
    return join(this.#folder ?? '', 'capabilities-1.json');
  }

  #warn(message: string): void {
    this.#onEvent({ type: 'note', level: 'warning', step: 'registry', message });
  }
}
