// What reports the progress of a command: a live display, a plain log, or NDJSON.
import type { RunEvent } from '../../core/events.ts';

export interface Reporter {
  onEvent(event: RunEvent): void;
  /** A sentence outside of any step. */
  say(text: string): void;
  /** Takes the live display away; events after it are dropped. */
  stop(): void;
}
