// The events of a run: steps, progress in bytes, and notes.
import { messageOf, type Step } from './errors.ts';
import { withoutSecrets } from './secrets.ts';

/** `debug` notes are shown with `--verbose` and written to a log file. */
export type NoteLevel = 'debug' | 'info' | 'warning';

/** Bytes are bytes of the source of the step; `total` is unknown for a stream of unknown length. */
export type RunEvent =
  | { type: 'run'; runId: string; domain: string }
  /** The registry in use; `writes` if the command creates images in it. */
  | { type: 'registry'; registry: string; writes: boolean }
  | { type: 'step'; step: Step; state: 'started'; detail?: string }
  | { type: 'step'; step: Step; state: 'done' | 'failed'; ms: number; detail?: string }
  | { type: 'progress'; step: Step; bytes: number; total: number }
  | { type: 'note'; level: NoteLevel; step: Step; message: string };

/** Receives the events of a run. It is called in the middle of the work and returns at once. */
export type OnEvent = (event: RunEvent) => void;

/** The listener that ignores events, so that no code checks whether there is one. */
export const ignoreEvents: OnEvent = () => undefined;

/**
 * Returns a listener that passes each event on with the secrets in its texts masked, or the listener
 * that ignores events. Every caller's listener is wrapped so. If it throws or rejects, the run, which
 * may hold a guest, continues; the first such error becomes a warning of the process.
 */
export function listener(onEvent: OnEvent | undefined): OnEvent {
  if (onEvent === undefined) return ignoreEvents;
  let isReported = false;
  const report = (error: unknown) => {
    if (isReported) return;
    isReported = true;
    const message = withoutSecrets(messageOf(error));
    process.emitWarning(`onEvent failed, and the work goes on: ${message}`);
  };
  return (event) => {
    try {
      // A listener may be an async function.
      const result: unknown = onEvent(maskEvent(event));
      if (result instanceof Promise) result.catch(report);
    } catch (error) {
      report(error);
    }
  };
}

function maskEvent(event: RunEvent): RunEvent {
  if (event.type === 'note') return { ...event, message: withoutSecrets(event.message) };
  if (event.type === 'step' && event.detail !== undefined)
    return { ...event, detail: withoutSecrets(event.detail) };
  return event;
}

/**
 * Runs one step between its `started` and its `done` or `failed` event.
 * @throws the error of `work`, unchanged.
 */
export async function runStep<T>(
  onEvent: OnEvent,
  step: Step,
  work: () => Promise<T>,
  describe?: (result: T) => string | undefined,
): Promise<T> {
  const startedAt = performance.now();
  onEvent({ type: 'step', step, state: 'started' });
  try {
    const result = await work();
    const detail = describe?.(result);
    const ms = performance.now() - startedAt;
    onEvent({ type: 'step', step, state: 'done', ms, ...(detail === undefined ? {} : { detail }) });
    return result;
  } catch (error) {
    onEvent({ type: 'step', step, state: 'failed', ms: performance.now() - startedAt });
    throw error;
  }
}
