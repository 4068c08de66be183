// A plain log: a line for each step, and for a long one its progress every ten seconds.
import type { RunEvent } from '../../core/events.ts';
import { formatDuration, printable } from '../views/format.ts';
import { StepPace } from './pace.ts';
import type { Reporter } from './reporter.ts';

const PROGRESS_EVERY_MS = 10_000;
/** Characters that name a run, or its image. */
const RUN_DIGITS = 8;

/**
 * Calls `write` with one line at a time, and whether it is progress, which the next line replaces.
 * If `quiet`, only warnings and the lines of `say` are written.
 */
export function createPlainReporter(
  write: (line: string, isProgress: boolean) => void,
  quiet: boolean,
  now: () => number = () => performance.now(),
): Reporter {
  const paces = new Map<string, { pace: StepPace; reportedAt: number }>();
  // NOTE: the lines of several runs may go to one place, as with systemd's journal.
  let run = '';
  const log = (line: string, isProgress = false) =>
    write(`${new Date().toTimeString().slice(0, 8)}${run} ${line}`, isProgress);
  const onEvent = (event: RunEvent) => {
    if (event.type === 'run') run = ` ${event.runId.slice(0, RUN_DIGITS)}`;
    if (event.type === 'note' && event.level === 'warning')
      return log(`warning: ${event.step}: ${printable(event.message)}`);
    if (quiet) return;
    if (event.type === 'run') log(`run ${event.runId} on ${printable(event.domain)}`);
    if (event.type === 'registry') log(`registry ${printable(event.registry)}`);
    if (event.type === 'note') log(`${event.step}: ${printable(event.message)}`);
    if (event.type === 'progress') onProgress(event);
    if (event.type === 'step') onStep(event);
  };
  const onStep = (event: RunEvent & { type: 'step' }) => {
    if (event.state === 'started') {
      paces.set(event.step, { pace: new StepPace(now()), reportedAt: now() });
      return;
    }
    const detail = event.detail ?? paces.get(event.step)?.pace.summary(event.ms) ?? '';
    const more = detail === '' ? '' : `: ${printable(detail)}`;
    log(`${event.step} ${event.state} in ${formatDuration(event.ms)}${more}`);
    paces.delete(event.step);
  };
  const onProgress = ({ step, bytes, total }: RunEvent & { type: 'progress' }) => {
    const known = paces.get(step) ?? { pace: new StepPace(now()), reportedAt: now() };
    paces.set(step, known);
    known.pace.add(now(), bytes, total);
    if (now() - known.reportedAt < PROGRESS_EVERY_MS) return;
    known.reportedAt = now();
    const percent = total > 0 ? `${Math.floor(known.pace.fraction * 100)} %, ` : '';
    log(`${step}: ${percent}${known.pace.describe(now())}`, true);
  };
  return { onEvent, say: log, stop: () => undefined };
}
