// Who tells what a command does while it works: a live display, a plain log, or NDJSON.
import type { RunEvent } from '../../events.ts';

export interface Reporter {
  onEvent(event: RunEvent): void;
  /** A sentence outside of any step. */
  say(text: string): void;
  /** Takes the live display away; events after it are dropped. */
  stop(): void;
}

export interface ReporterOptions {
  json: boolean;
  quiet: boolean;
  /** False for a plain log even on a terminal. */
  progress: boolean;
  writeJson(value: Record<string, unknown>): void;
}

/** Chooses by flags and by whether standard error is a terminal. Warnings are told in any case. */
export async function createReporter(options: ReporterOptions): Promise<Reporter> {
  if (options.json)
    return (await import('./json-reporter.ts')).createJsonReporter(options.writeJson);
  const live = process.stderr.isTTY && options.progress && !options.quiet;
  if (live && process.env.TERM !== 'dumb')
    return (await import('./live-reporter.ts')).createLiveReporter(process.stderr);
  const write = (line: string) => process.stderr.write(`${line}\n`);
  return (await import('./plain-reporter.ts')).createPlainReporter(write, options.quiet);
}
