// The slots of a host: how many snapshots run at once. The kernel frees a slot when its holder dies.
import { setTimeout as sleep } from 'node:timers/promises';
import { PublishError } from '../../core/errors.ts';
import {
  askFileLock,
  type FileLock,
  type FileLockState,
  tryFileLock,
} from '../../host/files/file-lock.ts';

/** The holder of a slot. */
interface SlotHolder {
  runId: string;
  domain: string;
  pid: number;
}

export interface SlotOptions {
  runId: string;
  domain: string;
  /** Slots on this host; 0 is no limit. */
  maxConcurrent: number;
  timeoutMs: number;
  signal: AbortSignal;
  /** Called once, with a message that names the holders. */
  onWait: (message: string) => void;
}

const PAUSE_MS = 200;

/**
 * Takes a slot, or waits for one.
 *
 * NOTE: there is no queue: the waiting run that looks first after a slot became free gets it.
 * @throws PublishError DOMAIN_BUSY after the deadline, with the holders; the signal's reason.
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
        `all ${maxConcurrent} slots for snapshots on this host are taken; waiting for ${await describeHolders(maxConcurrent)}`,
      );
    }
    await pause(signal);
  }
}

async function tryAll(maxConcurrent: number, holder: SlotHolder): Promise<FileLock | undefined> {
  for (let number = 1; number <= maxConcurrent; number += 1) {
    const slot = await tryFileLock(slotName(number), holder);
    if (slot) return slot;
  }
  return undefined;
}

function slotName(number: number): string {
  return `slot-${number}`;
}

async function describeHolders(maxConcurrent: number): Promise<string> {
  const names = Array.from({ length: maxConcurrent }, (_, index) => slotName(index + 1));
  const holders = await Promise.all(names.map((name) => askFileLock(name)));
  const known = holders.flatMap((holder) => (holder === 'free' ? [] : [describe(holder)]));
  return known.join(' or ') || 'a run that has just ended';
}

function describe(state: Exclude<FileLockState, 'free'>): string {
  const holder = state === 'unknown' ? undefined : state.holder;
  if (!isHolder(holder)) return 'a process that its lock file does not name';
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
    `domain ${domain} got none of the ${maxConcurrent} slots for snapshots on this host within ${timeoutMs / 1000} s (taken by ${holders})`,
    {
      step: 'wait',
      retryable: true,
      hint: 'retry later, or raise snapshot.maxConcurrent or timeouts.slotWaitMs',
    },
  );
}
