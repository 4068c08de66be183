// Watches the free space while a run writes, and aborts the run before free space falls below the reserve.
import { setMaxListeners } from 'node:events';
import { PublishError } from '../core/errors.ts';
import { formatBytes } from '../core/format-bytes.ts';
import { repeat } from '../core/poll.ts';
import { nearestExisting, OTHER_WORK_DIR, type Reserve, readSpace } from '../domain/space.ts';

export interface ReserveWatch {
  /** Aborts with the run's own signal, and with PublishError NO_SPACE. */
  signal: AbortSignal;
  /** Checks the free space now. @throws PublishError NO_SPACE */
  check: () => Promise<void>;
}

export interface ReserveWatchOptions {
  directories: readonly string[];
  reserve: Reserve;
  signal: AbortSignal;
  /** What to do besides freeing space; by default, what helps for a work directory. */
  alternative?: string;
}

/** Between two reads of the free space. */
const POLL_MS = 100;

/** Without a reserve, this much must be free for a write to count as complete. */
const LEAST_FREE = 1024 * 1024;

/** Watches the directories until `work` settles, which must obey the watch's signal. @throws what `work` throws */
export async function withReserveWatch<T>(
  { directories, reserve, signal, alternative = OTHER_WORK_DIR }: ReserveWatchOptions,
  work: (watch: ReserveWatch) => Promise<T>,
): Promise<T> {
  const places = await Promise.all(directories.map(nearestExisting));
  const trends = places.map((directory) => new SpaceTrend(directory, reserve, alternative));
  const full = new AbortController();
  const look = async () => {
    for (const trend of trends) await trend.look();
  };
  const stopLooking = repeat(look, {
    everyMs: POLL_MS,
    onError: (error) => full.abort(error),
  });
  const check = async () => {
    for (const trend of trends) await trend.check();
  };
  try {
    const either = AbortSignal.any([signal, full.signal]);
    // Many concurrent requests listen to it; Node reports more than ten listeners as a leak.
    setMaxListeners(0, either);
    return await work({ signal: either, check });
  } finally {
    stopLooking();
  }
}

/** One file system, and how fast its free space shrinks. */
class SpaceTrend {
  readonly #directory: string;
  readonly #reserve: Reserve;
  readonly #alternative: string;
  #before: number | undefined;

  constructor(directory: string, reserve: Reserve, alternative: string) {
    this.#directory = directory;
    this.#reserve = reserve;
    this.#alternative = alternative;
  }

  /** @throws PublishError NO_SPACE if free space would fall below the reserve before the next look */
  async look(): Promise<void> {
    const { free, beyondReserve } = await readSpace(this.#directory, this.#reserve);
    const written = Math.max(0, (this.#before ?? free) - free);
    this.#before = free;
    if (beyondReserve < written || free < LEAST_FREE)
      throw noSpace(this.#directory, free, this.#alternative);
  }

  /** @throws PublishError NO_SPACE if free space is below the reserve */
  async check(): Promise<void> {
    const { free, beyondReserve } = await readSpace(this.#directory, this.#reserve);
    if (beyondReserve < 0 || free < LEAST_FREE)
      throw noSpace(this.#directory, free, this.#alternative);
  }
}

function noSpace(directory: string, free: number, alternative: string): PublishError {
  return new PublishError(
    'NO_SPACE',
    `the file system of ${directory} is almost full (${formatBytes(free)} free), so the run was aborted before free space fell below the reserve`,
    { step: 'space', hint: `free some space, or ${alternative}` },
  );
}
