// The log file: a line for each event, with its time and the id of its run, for people or as NDJSON.
import { messageOf } from '../../core/errors.ts';
import type { RunEvent } from '../../core/events.ts';
import { printable, printableJson } from '../../core/printable.ts';
import { failureJson } from '../failure.ts';
import { fileWriter } from '../output/standard-streams.ts';
import { formatDuration } from '../views/format.ts';
import { cannotOpen, openPrivateFile } from './private-file.ts';

export interface LogFile {
  onEvent(event: RunEvent): void;
  onError(error: unknown): void;
  /** Waits until all is written, but not for a file system that hangs. */
  finish(): Promise<void>;
}

const PROGRESS_EVERY_MS = 10_000;
const STALL_MS = 5000;

/**
 * Opens the log file as `openPrivateFile` does, and writes a first line. A later write that fails is
 * reported to `warn`, once, and never thrown.
 * @throws PublishError CONFIG, NO_SPACE.
 */
export async function openLogFile(
  path: string,
  json: boolean,
  warn: (message: string) => void,
): Promise<LogFile> {
  const file = await openPrivateFile(path);
  let warned = true;
  const writer = fileWriter(file, (error) => {
    if (!warned) warn(`the log file ${path} is incomplete: ${messageOf(error)}`);
    warned = true;
  });
  let runId: string | null = null;
  let reportedAt = 0;
  const write = (value: Record<string, unknown>, text: string) => {
    const time = new Date().toISOString();
    const line = json
      ? printableJson({ time, runId, ...value })
      : `${time} ${runId ?? '-'} ${text}`;
    writer.report(`${line}\n`);
  };
  // Only a write shows whether there is room: an empty file can be created on a full file system.
  const first = { type: 'note', level: 'info', step: 'config', message: 'log opened' } as const;
  write(first, describe(first));
  if (!(await writer.drained(STALL_MS)))
    throw cannotOpen(path, new Error('its file system does not answer'));
  if (writer.failure !== undefined) throw cannotOpen(path, writer.failure);
  warned = false;
  return {
    onEvent: (event) => {
      if (event.type === 'run') runId = event.runId;
      if (event.type === 'progress') {
        if (performance.now() - reportedAt < PROGRESS_EVERY_MS) return;
        reportedAt = performance.now();
      }
      write({ ...event }, describe(event));
    },
    onError: (error) => write(failureJson(error), `error: ${printable(messageOf(error))}`),
    finish: async () => void (await writer.finish(STALL_MS)),
  };
}

function describe(event: RunEvent): string {
  switch (event.type) {
    case 'run':
      return `run on ${printable(event.domain)}`;
    case 'registry':
      return `registry ${printable(event.registry)}`;
    case 'progress':
      return `${event.step}: ${event.bytes} of ${event.total} bytes`;
    case 'note':
      return `${event.level} ${event.step}: ${printable(event.message)}`;
    case 'step': {
      const took = event.state === 'started' ? '' : ` in ${formatDuration(event.ms)}`;
      const detail = event.detail === undefined ? '' : `: ${printable(event.detail)}`;
      return `${event.step} ${event.state}${took}${detail}`;
    }
  }
}
