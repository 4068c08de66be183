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
  maxConcurrent: number;
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
  const { runId, domain, maxConcurrent, timeoutMs, signal, onWait } = options;
  if (maxConcurrent === 0) return { release: () => Promise.resolve() };
  const holder: SlotHolder = { runId, domain, pid: process.pid };
  const deadline = performance.now() + timeoutMs;
  for (let tries = 1; ; tries += 1) {
    signal.throwIfAborted();
    const slot = await tryAll(maxConcurrent, holder);
    if (slot) return slot;
    if (performance.now() >= deadline) throw taken(options, await describeHolders(maxConcurrent));
    if (tries === 1) {
      onWait(
        `${maxConcurrent} snapshots at once is this host's limit; waiting for ${await describeHolders(maxConcurrent)}`,
      );
    }
    await pause(signal);
  }
}

async function tryAll(maxConcurrent: number, holder: SlotHolder): Promise<FileLock | undefined> {
  for (let place = 1; place <= maxConcurrent; place += 1) {
    const slot = await tryFileLock(slotName(place), holder);
    if (slot) return slot;
  }
  return undefined;
}

function slotName(place: number): string {
  return `slot-${place}`;
}

async function describeHolders(maxConcurrent: number): Promise<string> {
  const places = Array.from({ length: maxConcurrent }, (_, index) => slotName(index + 1));
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

function taken({ domain, maxConcurrent, timeoutMs }: SlotOptions, holders: string): PublishError {
  return new PublishError(
    'DOMAIN_BUSY',
    `domain ${domain} got none of this host's ${maxConcurrent} places for snapshots within ${timeoutMs / 1000} s (${holders} had them); try again later, or raise snapshot.maxConcurrent or timeouts.slotWaitMs`,
    { step: 'wait', retryable: true },
  );
}
