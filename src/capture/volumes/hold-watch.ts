// Releases a guest whose volume snapshots take too long.
import { messageOf } from '../../core/errors.ts';
import { holdLimitMs } from '../freeze-limit.ts';
import type { GuestHold } from '../point-in-time.ts';
import type { VolumesRun } from './volumes-run.ts';

/**
 * NOTE: the snapshots wait for their pool on the connection that the thaw would use. So a freeze or
 * pause that reaches its limit is ended on the control connection.
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

  /** True if the guest was released, or is being released now. */
  get isOver(): boolean {
    return this.#isOver;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

/** Returns when the hold was requested (`performance.now()`). */
export function sinceOf(hold: GuestHold): number {
  return hold.how === 'frozen' ? hold.frozen.since : hold.since;
}

async function release({ host, domain, onEvent }: VolumesRun, { how }: GuestHold): Promise<void> {
  try {
    const control = await host.domainForControl(domain.uuid);
    await (how === 'frozen' ? control?.fsThaw() : control?.resume());
  } catch (error) {
    const message = `the guest is held for too long and cannot be released yet: ${messageOf(error)}`;
    onEvent({ type: 'note', level: 'warning', step: 'volumes', message });
  }
}
