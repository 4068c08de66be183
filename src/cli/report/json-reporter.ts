// Events as one JSON object a line, each with its time and the id of its run.
import type { RunEvent } from '../../core/events.ts';
import type { Reporter } from './reporter.ts';

/** `write` gets each object, and whether it is progress, which the next one replaces; it adds the line end. */
export function createJsonReporter(
  write: (value: Record<string, unknown>, isProgress: boolean) => void,
): Reporter {
  let runId: string | null = null;
  const post = (event: Record<string, unknown>) =>
    write({ time: new Date().toISOString(), runId, ...event }, event.type === 'progress');
  return {
    onEvent: (event: RunEvent) => {
      if (event.type === 'run') runId = event.runId;
      post({ ...event });
    },
    say: (message) => post({ type: 'note', level: 'warning', step: null, message }),
    stop: () => undefined,
  };
}
