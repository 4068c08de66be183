// How a command reports its work: a live display, a plain log, or NDJSON.
import { printableJson } from '../../core/printable.ts';
import type { Output } from '../output/output.ts';
import type { Writer } from '../output/writer.ts';
import type { Reporter } from './reporter.ts';

export interface ReporterOptions {
  json: boolean;
  quiet: boolean;
  /** False for a plain log even on a terminal. */
  progress: boolean;
  output: Pick<Output, 'report' | 'offer'>;
  /** Standard error. */
  reports: Writer;
}

/** Chooses by flags and by whether standard error is a terminal. Warnings are always shown. */
export async function createReporter(options: ReporterOptions): Promise<Reporter> {
  const { output, reports } = options;
  if (options.json) {
    const write = (value: object, isProgress: boolean) =>
      output[isProgress ? 'offer' : 'report'](`${printableJson(value)}\n`);
    return (await import('./json-reporter.ts')).createJsonReporter(write);
  }
  const live = process.stderr.isTTY && options.progress && !options.quiet;
  if (live && process.env.TERM !== 'dumb')
    return (await import('./live-reporter.ts')).createLiveReporter(process.stderr, reports);
  const write = (line: string, isProgress: boolean) =>
    reports[isProgress ? 'offer' : 'report'](`${line}\n`);
  return (await import('./plain-reporter.ts')).createPlainReporter(write, options.quiet);
}
