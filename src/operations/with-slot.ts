// One of the host's places for snapshots, for as long as a run needs it.
import type { Session } from '../domain/session.ts';
import { takeSlot } from '../run/lock/slots.ts';
import type { RunSettings } from './locked-domain.ts';

/** With the domain's lock held, so that a second run on it hears so at once; before it is looked at. */
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
