// Watches the free space while a run writes: it gives itself up before the reserve is touched.
import { setMaxListeners } from 'node:events';
import { PublishError } from '../core/errors.ts';
import { formatBytes } from '../core/format-bytes.ts';
import { repeat } from '../core/poll.ts';
import { nearestExisting, OTHER_WORK_DIR, type Reserve, readSpace } from '../domain/space.ts';

export interface ReserveWatch {
  /** Aborts as the run's own signal does, and with PublishError NO_SPACE. */
  signal: AbortSignal;
  /** Looks now. @throws PublishError NO_SPACE */
  check: () => Promise<void>;
}

export interface ReserveWatchOptions {
  directories: readonly string[];
  reserve: Reserve;
  signal: AbortSignal;
  /** What helps beside freeing some; the work directory is what is watched if left out. */
  cure?: string;
}

/** Between two reads of the free space. */
const POLL_MS = 100;

/** With no reserve wanted, this much must be free all the same for a write to count as complete. */
const LEAST_FREE = 1024 * 1024;

/** `work` is watched until it settles. @throws what it throws; it is to obey the watch's signal. */
export async function withReserveWatch<T>(
  { directories, reserve, signal, cure = OTHER_WORK_DIR }: ReserveWatchOptions,
  work: (watch: ReserveWatch) => Promise<T>,
): Promise<T> {
  const places = await Promise.all(directories.map(nearestExisting));
  const paces = places.map((directory) => new Pace(directory, reserve, cure));
  const full = new AbortController();
  const look = async () => {
    for (const pace of paces) await pace.look();
  };
  const stopLooking = repeat(look, {
    everyMs: POLL_MS,
    onError: (error) => full.abort(error),
  });
  const check = async () => {
    for (const pace of paces) await pace.check();
  };
  try {
    const either = AbortSignal.any([signal, full.signal]);
    // Many requests at once listen to it, and Node takes more than ten for a leak.
    setMaxListeners(0, either);
    return await work({ signal: either, check });
  } finally {
    stopLooking();
  }
}

/** One file system, and how fast it fills up. */
class Pace {
  readonly #directory: string;
  readonly #reserve: Reserve;
  readonly #cure: string;
  #before: number | undefined;

  constructor(directory: string, reserve: Reserve, cure: string) {
    this.#directory = directory;
    this.#reserve = reserve;
    this.#cure = cure;
  }

  /** @throws PublishError NO_SPACE where the reserve would be touched before the next look. */
  async look(): Promise<void> {
    const { free, beyondReserve } = await readSpace(this.#directory, this.#reserve);
    const written = Math.max(0, (this.#before ?? free) - free);
    this.#before = free;
    if (beyondReserve < written || free < LEAST_FREE)
      throw noSpace(this.#directory, free, this.#cure);
  }

  /** @throws PublishError NO_SPACE where the reserve is touched. */
  async check(): Promise<void> {
    const { free, beyondReserve } = await readSpace(this.#directory, this.#reserve);
    if (beyondReserve < 0 || free < LEAST_FREE) throw noSpace(this.#directory, free, this.#cure);
  }
}

function noSpace(directory: string, free: number, cure: string): PublishError {
  return new PublishError(
    'NO_SPACE',
    `the file system of ${directory} is filling up (${formatBytes(free)} free), and the run gave itself up before its reserve was touched; free some space, or ${cure}`,
    { step: 'space' },
  );
}
