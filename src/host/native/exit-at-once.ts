// The end of a process that cannot wait for its threads.
import { koffi } from './koffi.ts';

const exit: (code: number) => void = koffi.load('libc.so.6').func('void _exit(int status)');

/** Ends the process here and now: no exit handler runs, no thread is waited for. */
export function exitAtOnce(code: number): void {
  exit(code);
}
