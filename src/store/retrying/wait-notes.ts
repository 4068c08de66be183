// Says that a registry is waited for: once, and again while it goes on.
import { messageOf } from '../../core/errors.ts';
import type { OnEvent } from '../../core/events.ts';
import type { ObjectStore } from '../object-store.ts';

/** Many requests may wait for one server at the same time. */
const QUIET_MS = 10_000;

/** A listener for `RetryPolicy.onWait`. */
export function waitNotes(store: ObjectStore, onEvent: OnEvent): (failure: unknown) => void {
  let saidAt = Number.NEGATIVE_INFINITY;
  const server = store.location === undefined ? '' : ` at ${store.location.server.trim()}`;
  return (failure) => {
    if (performance.now() - saidAt < QUIET_MS) return;
    saidAt = performance.now();
    const reason = failure === undefined ? 'no answer yet' : messageOf(failure);
    const message = `waiting for ${store.url}${server}: ${reason}`;
    onEvent({ type: 'note', level: 'info', step: 'registry', message });
  };
}
