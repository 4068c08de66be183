// Ends the hold of a guest whose volumes take too long.
import { messageOf } from '../../core/errors.ts';
import { holdLimitMs } from '../freeze-limit.ts';
import type { GuestHold } from '../point-in-time.ts';
import type { VolumesRun } from './volumes-run.ts';

/**
 * NOTE: the snapshots wait for their pool on the connection that the thaw would use; so a freeze, or
 * a pause, that has lasted long enough is ended on the other one.
 */
export class HoldWatch {
  readonly #timer: NodeJS.Timeout;
  #isOver = false;

  constructor(run: VolumesRun, hold: GuestHold) {
    const leftMs = sinceOf(hold) + holdLimitMs(run, hold) - performance.now();
    this.#timer = setTimeout(() => {
      this.#isOver = true;
      void release(run, hold);
    }, leftMs);
  }

  /** The guest was let go, or is being let go just now. */
  get isOver(): boolean {
    return this.#isOver;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

/** `performance.now()` of the moment when the hold was asked for. */
export function sinceOf(hold: GuestHold): number {
  return hold.how === 'frozen' ? hold.frozen.since : hold.since;
}

async function release({ host, domain, onEvent }: VolumesRun, { how }: GuestHold): Promise<void> {
  try {
    const control = await host.domainForControl(domain.uuid);
    await (how === 'frozen' ? control?.fsThaw() : control?.resume());
  } catch (error) {
    const message = `the guest is held for too long, and could not be let go yet: ${messageOf(error)}`;
    onEvent({ type: 'note', level: 'warning', step: 'volumes', message });
  }
}
