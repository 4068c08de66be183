// The frame of every command: configuration, signals, reporter, product, error, exit code.
import { resolve } from 'node:path';
import { type Config, type ConfigOverrides, loadConfig } from '../config/config.ts';
import { listener, type OnEvent, type RunEvent } from '../core/events.ts';
import { printableJson } from '../core/printable.ts';
import { exitCodeOf } from './exit-codes.ts';
import { failureJson, failureText } from './failure.ts';
import type { GlobalFlags } from './options.ts';
import { createOutput, type Output } from './output/output.ts';
import { standardError, standardOutput } from './output/standard-streams.ts';
import { createReporter } from './report/create-reporter.ts';
import type { LogFile } from './report/log-file.ts';
import type { Reporter } from './report/reporter.ts';
import { type SignalWords, withSignals } from './signals.ts';
import { styleFor } from './views/style.ts';

export interface CommandContext {
  config: Config;
  signal: AbortSignal;
  onEvent: OnEvent;
  output: Output;
}

/** The result of a command: `text` for standard output, `json` for the final object of `--json`. */
export interface Product {
  text: string;
  json: Record<string, unknown>;
  /** The work was done, but its result is bad news: printed after the product, with its exit code. */
  failure?: Error;
}

export interface CommandFrame {
  flags: GlobalFlags;
  overrides?: ConfigOverrides;
  words?: SignalWords;
  /** The command changes a guest, and does not stop before that is undone. */
  holdsGuest?: boolean;
}

/** How long the product waits for a slow reader of the reports. */
const ORDER_MS = 500;

const STOPPING: SignalWords = { first: 'stopping…', again: 'stopping, please wait' };

/**
 * Runs one command to its end.
 * Returns the exit code; errors are printed here and never thrown.
 */
export async function runCommand(
  frame: CommandFrame,
  work: (context: CommandContext) => Promise<Product>,
): Promise<number> {
  const { flags, overrides = {}, words = STOPPING } = frame;
  const output = createOutput(standardOutput());
  const reports = standardError();
  const writeJson = (value: object) => output.write(`${printableJson(value)}\n`);
  const json = flags.json === true;
  let runId: string | null = null;
  let registry: string | undefined;
  let reporter: Reporter | undefined;
  let log: LogFile | undefined;
  try {
    const progress = flags.progress;
    const live = await createReporter({
      json,
      quiet: flags.quiet === true,
      progress,
      output,
      reports,
    });
    reporter = live;
    log = await openLog(flags, live);
    const onEvent = listener((event) => {
      if (event.type === 'run') runId = event.runId;
      log?.onEvent(event);
      // The command's own registry, not the one that it copies to.
      if (event.type === 'registry') registry ??= event.registry;
      if (flags.verbose === true || !isForVerbose(event)) live.onEvent(event);
    });
    const files = flags.config === undefined ? [] : [resolve(flags.config)];
    const run = () =>
      withSignals(words, live.say, async (signal) => {
        const config = await loadConfig({ env: process.env, files, overrides });
        return work({ config, signal, onEvent, output });
      });
    const product = await (frame.holdsGuest === true ? controlled(live.say, run) : run());
    reporter.stop();
    // On one terminal the product comes last.
    await reports.drained(ORDER_MS);
    const { text, failure } = product;
    const end = failure === undefined ? { type: 'result' } : failureJson(failure);
    if (json) writeJson({ time: now(), runId, registry, ...end, ...product.json });
    else if (text !== '') output.write(`${text}\n`);
    await output.finish();
    if (failure === undefined) return 0;
    if (!json) void reports.write(failureText(failure, styleFor(process.stderr)));
    return exitCodeOf(failure);
  } catch (error) {
    reporter?.stop();
    log?.onError(error);
    if (json) writeJson({ time: now(), runId, registry, ...failureJson(error) });
    else void reports.write(failureText(error, styleFor(process.stderr)));
    return exitCodeOf(error);
  } finally {
    await log?.finish();
  }
}

/** Events that only `--verbose` shows: debug notes, and the registry of commands that only read. */
function isForVerbose(event: RunEvent): boolean {
  return event.type === 'note'
    ? event.level === 'debug'
    : event.type === 'registry' && !event.writes;
}

async function controlled<T>(say: (text: string) => void, work: () => Promise<T>): Promise<T> {
  return (await import('./job-control.ts')).withJobControl(say, work);
}

async function openLog(
  { logFile, json }: GlobalFlags,
  { onEvent }: Reporter,
): Promise<LogFile | undefined> {
  if (logFile === undefined) return undefined;
  const warn = (message: string) =>
    onEvent({ type: 'note', level: 'warning', step: 'config', message });
  return (await import('./report/log-file.ts')).openLogFile(logFile, json === true, warn);
}

function now(): string {
  return new Date().toISOString();
}
