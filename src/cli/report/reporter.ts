// What reports the progress of a command: a live display, a plain log, or NDJSON.
import type { RunEvent } from '../../core/events.ts';

export interface Reporter {
  onEvent(event: RunEvent): void;
  /** Prints a sentence outside of any step. */
  say(text: string): void;
  /** Removes the live display; later events are dropped. */
  stop(): void;
}
