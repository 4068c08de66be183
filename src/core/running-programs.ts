// The programs that this process has started and that have not ended yet.
import type { ChildProcess } from 'node:child_process';

type Program = Pick<ChildProcess, 'kill' | 'once'>;

const running = new Set<Program>();

export function noteProgram(program: Program): void {
  running.add(program);
  // One that could not be started has an error instead of an exit.
  for (const end of ['exit', 'error']) program.once(end, () => running.delete(program));
}

/** Lets all of them go on that a signal has stopped. */
export function continuePrograms(): void {
  for (const program of running) program.kill('SIGCONT');
}
