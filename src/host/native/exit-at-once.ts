// Ends a process that cannot wait for its threads.
import { koffi } from './koffi.ts';

const exit: (code: number) => void = koffi.load('libc.so.6').func('void _exit(int status)');

/** Ends the process without exit handlers and without waiting for threads. */
export function exitAtOnce(code: number): void {
  exit(code);
}
