// Ignores signals. A handler, which is all that Node has, still interrupts system calls.
import { koffi } from './koffi.ts';

const SIG_IGN = 1n;
const signal: (number: number, handler: bigint) => bigint = koffi
  .load('libc.so.6')
  .func('intptr_t signal(int number, intptr_t handler)');

/** Ignores a signal in all threads. Programs that Node starts get the default again. */
export function ignoreSignal(number: number): void {
  signal(number, SIG_IGN);
}
