// Runs one program to its end: with a deadline, a signal, and all that it says.
import { type ChildProcess, spawn } from 'node:child_process';

export interface ProgramOptions {
  timeoutMs: number;
  signal?: AbortSignal | undefined;
  /** Gets standard output piece by piece; it is not kept then. */
  onOutput?: ((piece: string) => void) | undefined;
}

export interface Ended {
  exitCode: number | undefined;
  /** `SIGKILL`... where a signal ended it. */
  killedBy: string | undefined;
  timedOut: boolean;
  /** `ENOENT` where there was no such program. */
  spawnCode: string | undefined;
  stdout: string;
  /** Its last 64 KiB. */
  stderr: string;
}

/** A map of a badly fragmented terabyte stays below this. */
const MAX_STDOUT = 500 * 1024 * 1024;
const MAX_STDERR = 64 * 1024;
/** What does not listen to SIGTERM is not asked for longer. */
const KILL_AFTER_MS = 5000;

/**
 * Resolves when the program is gone and its output read, however it ended.
 *
 * NOTE: not execa: its 150 files take a tenth of a small run to load.
 */
export async function runProgram(
  [program, ...args]: readonly [string, ...string[]],
  { timeoutMs, signal, onOutput }: ProgramOptions,
): Promise<Ended> {
  const child = spawn(program, args, {
    env: { ...process.env, LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const end = new Ending(child);
  const stop = () => end.begin();
  const deadline = setTimeout(() => end.begin('late'), timeoutMs);
  signal?.addEventListener('abort', stop, { once: true });
  const stdout: string[] = [];
  let length = 0;
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    length += piece.length;
    if (onOutput) return onOutput(piece);
    if (length > MAX_STDOUT) return end.begin();
    stdout.push(piece);
  });
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    stderr = `${stderr}${piece}`.slice(-MAX_STDERR);
  });
  try {
    const how = await ended(child);
    return { ...how, timedOut: end.isLate, stdout: stdout.join(''), stderr };
  } finally {
    clearTimeout(deadline);
    signal?.removeEventListener('abort', stop);
    end.isOver();
  }
}

/** Asks a program to end, and after a while does not ask. */
class Ending {
  readonly #child: ChildProcess;
  #timer: NodeJS.Timeout | undefined;
  isLate = false;

  constructor(child: ChildProcess) {
    this.#child = child;
  }

  begin(why?: 'late'): void {
    if (this.#timer) return;
    this.isLate = why === 'late';
    this.#child.kill('SIGTERM');
    this.#timer = setTimeout(() => this.#child.kill('SIGKILL'), KILL_AFTER_MS);
  }

  isOver(): void {
    clearTimeout(this.#timer);
  }
}

function ended(child: ChildProcess): Promise<Pick<Ended, 'exitCode' | 'killedBy' | 'spawnCode'>> {
  return new Promise((resolve) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      // Of a child that runs it is a signal that could not be sent, and says nothing of its end.
      if (child.pid !== undefined) return;
      resolve({ exitCode: undefined, killedBy: undefined, spawnCode: error.code });
    });
    child.once('close', (exitCode, killedBy) => {
      if (child.pid === undefined) return;
      const how = { exitCode: exitCode ?? undefined, killedBy: killedBy ?? undefined };
      resolve({ ...how, spawnCode: undefined });
    });
  });
}
