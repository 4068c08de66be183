// Says once, before the first write, where a store does not keep the promise that writing stands on.
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { messageOf } from '../errors.ts';
import type { OnEvent } from '../events.ts';
import { type Ability, probeAbilities } from './abilities.ts';
import { orMissing, parseJson } from './file-errors.ts';
import type { CallOptions, ObjectStore } from './object-store.ts';

/** A server may be exchanged or upgraded: what was found counts for so long. */
const VALID_MS = 30 * 24 * 3600 * 1000;

/** Where a cache of what this registry holds and can do may lie, below `cacheDir`. */
export function cacheFolder(cacheDir: string, store: ObjectStore): string {
  const name = `${store.location?.server ?? ''}\n${store.url}`;
  return join(cacheDir, 'registries', createHash('sha256').update(name).digest('hex').slice(0, 32));
}

/** Tries create-only writes before the first write of a process, unless it is known from before. */
export class FirstWrite {
  readonly #store: ObjectStore;
  readonly #folder: string | undefined;
  readonly #onEvent: OnEvent;
  #done: Promise<void> | undefined;

  /** `folder`: where what was found is kept; nowhere if left out. */
  constructor(store: ObjectStore, folder: string | undefined, onEvent: OnEvent) {
    this.#store = store;
    this.#folder = folder;
    this.#onEvent = onEvent;
  }

  /** Never fails: a store that cannot be used says so in the write itself. */
  check(options: CallOptions): Promise<void> {
    this.#done ??= this.#check(options);
    return this.#done;
  }

  async #check({ signal }: CallOptions): Promise<void> {
    // NOTE: a directory's create is link(2): where there is none it fails, and never lets two win.
    if (this.#store.moveIn !== undefined) return;
    try {
      const ability = (await this.#known()) ?? (await this.#probe(signal));
      if (ability?.works === false)
        this.#warn(`this registry is not safe for many: ${ability.says}`);
    } catch (error) {
      this.#warn(`whether writes can be lost in a race could not be tried: ${messageOf(error)}`);
    }
  }

  async #known(): Promise<Ability | undefined> {
    if (this.#folder === undefined) return undefined;
    const text = await orMissing(readFile(this.#path(), 'utf8'));
    const found = parseJson(text ?? '') as { at?: number; ability?: Ability } | undefined;
    const age = Date.now() - (found?.at ?? 0);
    return age >= 0 && age < VALID_MS ? found?.ability : undefined;
  }

  async #probe(signal: AbortSignal | undefined): Promise<Ability | undefined> {
    const [ability] = await probeAbilities(this.#store, { only: ['create-only'], signal });
    if (this.#folder === undefined || ability?.works == null) return ability;
    const temporary = `${this.#path()}.new`;
    try {
      await mkdir(dirname(temporary), { recursive: true, mode: 0o700 });
      await writeFile(temporary, JSON.stringify({ at: Date.now(), ability }), { mode: 0o600 });
      await rename(temporary, this.#path());
    } catch (error) {
      // Found out again by the next process: slower, not wrong.
      if (!(error instanceof Error)) throw error;
    }
    return ability;
  }

  #path(): string {
    return join(this.#folder ?? '', 'create-only.json');
  }

  #warn(message: string): void {
    this.#onEvent({ type: 'note', level: 'warning', step: 'registry', message });
  }
}
