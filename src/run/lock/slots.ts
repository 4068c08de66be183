// So many snapshots at once on a host, and no more: places that a dead holder cannot keep.
import { setTimeout as sleep } from 'node:timers/promises';
import { PublishError } from '../../core/errors.ts';
import {
  askFileLock,
  type FileLock,
  type FileLockState,
  tryFileLock,
} from '../../host/files/file-lock.ts';

/** Who has one of the places. */
interface SlotHolder {
  runId: string;
  domain: string;
  pid: number;
}

export interface SlotOptions {
  runId: string;
  domain: string;
  /** Places on this host; 0 is no limit. */
  atOnce: number;
  timeoutMs: number;
  signal: AbortSignal;
  /** Told once, in words, who is waited for. */
  onWait: (message: string) => void;
}

const PAUSE_MS = 200;

/**
 * Takes one of the places, or waits for one.
 *
 * NOTE: nobody queues: of those who wait, whoever looks first after a place was left gets it.
 * @throws PublishError DOMAIN_BUSY after the deadline, with who has the places; the signal's reason.
 */
export async function takeSlot(options: SlotOptions): Promise<FileLock> {
  const { runId, domain, atOnce, timeoutMs, signal, onWait } = options;
  if (atOnce === 0) return { release: () => Promise.resolve() };
  const holder: SlotHolder = { runId, domain, pid: process.pid };
  const deadline = performance.now() + timeoutMs;
  for (let tries = 1; ; tries += 1) {
    signal.throwIfAborted();
    const slot = await tryAll(atOnce, holder);
    if (slot) return slot;
    if (performance.now() >= deadline) throw taken(options, await describeHolders(atOnce));
    if (tries === 1) {
      onWait(
        `${atOnce} snapshots at once is this host's limit; waiting for ${await describeHolders(atOnce)}`,
      );
    }
    await pause(signal);
  }
}

async function tryAll(atOnce: number, holder: SlotHolder): Promise<FileLock | undefined> {
  for (let place = 1; place <= atOnce; place += 1) {
    const slot = await tryFileLock(slotName(place), holder);
    if (slot) return slot;
  }
  return undefined;
}

function slotName(place: number): string {
  return `slot-${place}`;
}

async function describeHolders(atOnce: number): Promise<string> {
  const places = Array.from({ length: atOnce }, (_, index) => slotName(index + 1));
  const holders = await Promise.all(places.map((name) => askFileLock(name)));
  const known = holders.flatMap((holder) => (holder === 'free' ? [] : [describe(holder)]));
  return known.join(' or ') || 'one that has just ended';
}

function describe(state: Exclude<FileLockState, 'free'>): string {
  const holder = state === 'unknown' ? undefined : state.holder;
  if (!isHolder(holder)) return 'a process whose lock file does not say who it is';
  return `run ${holder.runId} (domain ${holder.domain}, process ${holder.pid})`;
}

function isHolder(value: unknown): value is SlotHolder {
  const { runId, domain, pid } = (value ?? {}) as Partial<Record<keyof SlotHolder, unknown>>;
  return typeof runId === 'string' && typeof domain === 'string' && Number.isSafeInteger(pid);
}

async function pause(signal: AbortSignal): Promise<void> {
  try {
    await sleep(PAUSE_MS, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

function taken({ domain, atOnce, timeoutMs }: SlotOptions, holders: string): PublishError {
  return new PublishError(
    'DOMAIN_BUSY',
    `domain ${domain} got none of this host's ${atOnce} places for snapshots within ${timeoutMs / 1000} s (${holders} had them); try again later, or raise snapshot.atOnce or timeouts.atOnceMs`,
    { step: 'wait', retryable: true },
  );
}
