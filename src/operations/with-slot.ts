// One of the host's slots for snapshots, held while a run needs it.
import type { Session } from '../domain/session.ts';
import { takeSlot } from '../run/lock/slots.ts';
import type { RunSettings } from './locked-domain.ts';

/** Called with the domain locked, so that a second run on it fails at once, and before it is inspected. */
export async function withSlot<T>(
  { settings, domain }: Session<RunSettings>,
  runId: string,
  work: () => Promise<T>,
): Promise<T> {
  const { config, signal, onEvent } = settings;
  const slot = await takeSlot({
    ...{ runId, domain: domain.name, signal },
    ...{ maxConcurrent: config.snapshot.maxConcurrent, timeoutMs: config.timeouts.slotWaitMs },
    onWait: (message) => onEvent({ type: 'note', level: 'info', step: 'wait', message }),
  });
  try {
    return await work();
  } finally {
    await slot.release();
  }
}
