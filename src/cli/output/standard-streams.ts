// Standard output and standard error, written without waiting for their readers.
import { fstatSync, write } from 'node:fs';
import { inspect, promisify } from 'node:util';
import { fileSink, isWriteInFlight, streamSink, type WritableFile, Writer } from './writer.ts';

/** For a pager, or a terminal that Ctrl-S has stopped: its user may continue it. */
const PERSON_STALL_MS = 5 * 60_000;
const REPORTS_STALL_MS = 15_000;
const CRASH_STALL_MS = 200;

let output: Writer | undefined;
let errors: Writer | undefined;

export function standardOutput(): Writer {
  output ??= openWriter(1, process.stdout);
  return output;
}

export function standardError(): Writer {
  errors ??= openWriter(2, process.stderr);
  return errors;
}

/** Returns a writer to another file, such as a log. */
export function fileWriter(file: WritableFile, onFailure: (error: Error) => void): Writer {
  return new Writer(fileSink(file), onFailure);
}

/** How long the reader of standard output may take nothing before the rest is dropped. */
export const OUTPUT_STALL_MS = PERSON_STALL_MS;

/**
 * Waits for the readers of both streams, and ends the process. A reader that has stopped is not
 * waited for without end, and never keeps the exit code back.
 */
export async function exitWhenWritten(exitCode: number): Promise<never> {
  const errorsMs = process.stderr.isTTY ? PERSON_STALL_MS : REPORTS_STALL_MS;
  await Promise.all([output?.finish(OUTPUT_STALL_MS), errors?.finish(errorsMs)]);
  return exit(exitCode);
}

/**
 * Prints an exception that nothing caught, and ends the process; its guard restores the guest.
 * NOTE: Node itself would write it to a terminal that may have stopped, and hang there.
 */
export async function crash(error: unknown): Promise<never> {
  standardError().report(`virt-publish: internal error: ${inspect(error)}\n`);
  await standardError().finish(CRASH_STALL_MS);
  return exit(1);
}

/** NOTE: exit, not exitCode: nothing that still holds the event loop may keep a finished command alive. */
async function exit(exitCode: number): Promise<never> {
  if (isWriteInFlight()) (await import('../../host/native/exit-at-once.ts')).exitAtOnce(exitCode);
  return process.exit(exitCode);
}

function openWriter(fd: 1 | 2, stream: NodeJS.WriteStream): Writer {
  const kind = fstatSync(fd);
  if (kind.isFIFO() || kind.isSocket()) return new Writer(streamSink(stream));
  const writeTo = promisify(write);
  return new Writer(fileSink({ write: (bytes: Uint8Array) => writeTo(fd, bytes) }));
}
