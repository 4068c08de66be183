// Tracks the programs that this process has started and that have not ended yet.
import type { ChildProcess } from 'node:child_process';

type Program = Pick<ChildProcess, 'kill' | 'once'>;

const running = new Set<Program>();

/** Tracks a program until it ends. */
export function trackProgram(program: Program): void {
  running.add(program);
  // A program that could not be started emits `error` instead of `exit`.
  for (const end of ['exit', 'error']) program.once(end, () => running.delete(program));
}

/** Continues all tracked programs that a signal has stopped. */
export function continuePrograms(): void {
  for (const program of running) program.kill('SIGCONT');
}
