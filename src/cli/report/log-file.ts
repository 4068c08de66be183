// The log file: a line for each event, with its time and the id of its run, for people or as NDJSON.

import { writeSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { messageOf, PublishError } from '../../errors.ts';
import type { RunEvent } from '../../events.ts';
import { failureJson } from '../failure.ts';
import { formatDuration, printable } from '../format.ts';

export interface LogFile {
  onEvent(event: RunEvent): void;
  onError(error: unknown): void;
}

const PROGRESS_EVERY_MS = 10_000;

/**
 * Opens the file for appending, readable by its owner alone.
 * @throws PublishError CONFIG where it cannot be opened.
 */
export async function openLogFile(path: string, json: boolean): Promise<LogFile> {
  const file = await openForAppend(path);
  let runId: string | null = null;
  let toldAt = 0;
  const write = (value: Record<string, unknown>, text: string) => {
    const time = new Date().toISOString();
    const line = json
      ? JSON.stringify({ time, runId, ...value })
      : `${time} ${runId ?? '-'} ${text}`;
    append(file, `${line}\n`);
  };
  return {
    onEvent: (event) => {
      if (event.type === 'run') runId = event.runId;
      if (event.type === 'progress') {
        if (performance.now() - toldAt < PROGRESS_EVERY_MS) return;
        toldAt = performance.now();
      }
      write({ ...event }, describe(event));
    },
    onError: (error) => write(failureJson(error), `error: ${printable(messageOf(error))}`),
  };
}

async function openForAppend(path: string): Promise<FileHandle> {
  try {
    return await open(resolve(path), 'a', 0o600);
  } catch (error) {
    const message = `the log file cannot be opened: ${messageOf(error)}; name another with --log-file`;
    throw new PublishError('CONFIG', message, { step: 'config', cause: error });
  }
}

/** NOTE: at once, as the process may be killed; and a log on a full disk must not end a run. */
function append(file: FileHandle, line: string): void {
  try {
    writeSync(file.fd, line);
  } catch {
    // There is nowhere to tell it: the same event is on the terminal.
  }
}

function describe(event: RunEvent): string {
  switch (event.type) {
    case 'run':
      return `run on ${printable(event.domain)}`;
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
