// The display on a terminal: running steps with a bar below, finished ones as lines above; the only importer of log-update.
import { createLogUpdate } from 'log-update';
import type { Step } from '../../core/errors.ts';
import type { RunEvent } from '../../core/events.ts';
import type { Writer } from '../output/writer.ts';
import { formatDuration, printable } from '../views/format.ts';
import { type Style, styleFor } from '../views/style.ts';
import { cutTo, pad } from '../views/table.ts';
import { StepPace } from './pace.ts';
import type { Reporter } from './reporter.ts';

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 120;
const STEP_WIDTH = 10;
const BAR_WIDTH = 24;
const HIDE_CURSOR = '\u001b[?25l';
const SHOW_CURSOR = '\u001b[?25h';

interface Running {
  startedAt: number;
  detail: string;
  pace: StepPace;
}

/** Eight frames a second at most for any number of events; none while `writer` is behind. */
export function createLiveReporter(stream: NodeJS.WriteStream, writer: Writer): Reporter {
  const style = styleFor(stream);
  // NOTE: log-update would hide the cursor by a write to the terminal itself, which may block.
  const display = createLogUpdate(queued(stream, writer), { showCursor: true });
  writer.report(HIDE_CURSOR);
  const running = new Map<Step, Running>();
  let stopped = false;
  const columns = () => (stream.columns || 80) - 1;
  const draw = () => {
    if (writer.isBehind) return;
    const frame = FRAMES[Math.floor(performance.now() / FRAME_MS) % FRAMES.length] ?? '';
    const lines = [...running].map(([step, state]) => runningLine(step, state, columns(), style));
    if (lines.length > 0) display(lines.map((line) => `${style.dim(frame)} ${line}`).join('\n'));
    else display.clear();
  };
  const timer = setInterval(draw, FRAME_MS);
  timer.unref();
  const persist = (line: string) => {
    display.clear();
    writer.report(`${line}\n`);
    draw();
  };
  const onEvent = (event: RunEvent) => {
    if (stopped) return;
    if (event.type === 'progress') {
      const state = running.get(event.step) ?? begin(running, event.step);
      state.pace.add(performance.now(), event.bytes, event.total);
    } else if (event.type === 'step' && event.state === 'started') {
      begin(running, event.step, event.detail);
    } else {
      const line = lastingLine(event, running, columns(), style);
      if (event.type === 'step') running.delete(event.step);
      persist(line);
    }
  };
  const stop = () => {
    if (stopped) return;
    stopped = true;
    clearInterval(timer);
    display.clear();
    display.done();
    writer.report(SHOW_CURSOR);
  };
  return { onEvent, say: (text) => (stopped ? undefined : persist(style.yellow(text))), stop };
}

/** The terminal with its size, whose writes go to `writer`. */
function queued(stream: NodeJS.WriteStream, writer: Writer): NodeJS.WriteStream {
  const write = (text: string) => {
    writer.report(text);
    return true;
  };
  return Object.create(stream, { write: { value: write } });
}

function begin(running: Map<Step, Running>, step: Step, detail = ''): Running {
  const now = performance.now();
  const state = { startedAt: now, detail: printable(detail), pace: new StepPace(now) };
  running.set(step, state);
  return state;
}

function runningLine(step: Step, state: Running, columns: number, style: Style): string {
  const now = performance.now();
  const { pace } = state;
  const label = pad(step, STEP_WIDTH);
  if (pace.total === 0 && pace.bytes === 0) {
    const elapsed = now - state.startedAt > 1000 ? formatDuration(now - state.startedAt) : '';
    return cutTo(`${label} ${[state.detail, elapsed].filter(Boolean).join('  ')}`, columns - 2);
  }
  const pacing = pace.describe(now);
  if (pace.total === 0 || columns < 70) return cutTo(`${label} ${pacing}`, columns - 2);
  const full = Math.round(pace.fraction * BAR_WIDTH);
  const bar = `${style.green('━'.repeat(full))}${style.dim('─'.repeat(BAR_WIDTH - full))}`;
  const percent = `${Math.floor(pace.fraction * 100)}%`.padStart(4);
  return `${label} ${bar} ${percent}  ${style.dim(cutTo(pacing, columns - STEP_WIDTH - BAR_WIDTH - 11))}`;
}

function lastingLine(
  event: Exclude<RunEvent, { type: 'progress' }>,
  running: ReadonlyMap<Step, Running>,
  columns: number,
  style: Style,
): string {
  if (event.type === 'run')
    return `${style.bold(printable(event.domain))} ${style.dim(`run ${event.runId}`)}`;
  if (event.type === 'registry')
    return `${style.dim('·')} ${pad('registry', STEP_WIDTH)} ${printable(event.registry)}`;
  if (event.type === 'note') {
    const text = `${pad(event.step, STEP_WIDTH)} ${printable(event.message)}`;
    return event.level === 'warning' ? style.yellow(`! ${text}`) : `${style.dim('·')} ${text}`;
  }
  const label = pad(event.step, STEP_WIDTH);
  if (event.state === 'started') return label;
  const detail = printable(event.detail ?? running.get(event.step)?.pace.summary(event.ms) ?? '');
  const took = pad(formatDuration(event.ms), 8, 'right');
  const mark = event.state === 'done' ? style.green('✔') : style.red('✖');
  return `${mark} ${label} ${took}  ${style.dim(cutTo(detail, columns - STEP_WIDTH - 14))}`.trimEnd();
}
