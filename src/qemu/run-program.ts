// Runs one program to its end, by its deadline; the only importer of execa.
import { PublishError } from '../core/errors.ts';
import { noteProgram } from '../core/running-programs.ts';
import { withoutSecrets } from '../core/secrets.ts';

// NOTE: loading it takes a tenth of a second, in which libvirt is connected to and asked.
const loading = import('execa');

/** Every answer that is held as a whole stays below this. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

export interface ProgramCall {
  /** The program and its arguments; there is never a shell. */
  argv: readonly [string, ...string[]];
  /** Added to the environment; messages are asked for in English in any case. */
  env?: Readonly<Record<string, string>>;
  signal?: AbortSignal | undefined;
  timeoutMs: number;
  /** Gets standard output piece by piece, which is not kept then. */
  onOutput?: ((piece: string) => void) | undefined;
}

/** How a program ended. */
export interface Outcome {
  exitCode: number | undefined;
  /** `SIGKILL`... where a signal ended it. */
  killedBy: string | undefined;
  timedOut: boolean;
  /** `ENOENT` where there was no such program. */
  spawnCode: string | undefined;
  stderr: string;
}

/**
 * Any end of the program is an answer.
 * @throws the signal's own reason after an abort, when the child is gone; what `onOutput` throws.
 */
export async function runProgram(call: ProgramCall): Promise<Outcome & { stdout: string }> {
  const { argv, env, signal, timeoutMs, onOutput } = call;
  signal?.throwIfAborted();
  const [program, ...args] = argv;
  const { execa } = await loading;
  const child = execa(program, args, {
    env: { LC_ALL: 'C', ...env },
    stdin: 'ignore',
    reject: false,
    timeout: timeoutMs,
    maxBuffer: MAX_OUTPUT_BYTES,
    buffer: { stdout: onOutput === undefined, stderr: true },
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  });
  noteProgram(child);
  // What is thrown in a listener would end this process: it ends the program instead.
  const refused: unknown[] = [];
  child.stdout.on('data', (piece) => {
    try {
      if (refused.length === 0) onOutput?.(String(piece));
    } catch (error) {
      refused.push(error);
      child.kill();
    }
  });
  const result = await child;
  if (refused.length > 0) throw refused[0];
  await abortedBySameSignal(result.signal, signal);
  return {
    exitCode: result.exitCode,
    killedBy: result.signal,
    timedOut: result.timedOut,
    spawnCode: result.code,
    // Before callers cut it: half a secret is hard to recognize.
    stderr: withoutSecrets(result.stderr),
    stdout: result.stdout ?? '',
  };
}

// NOTE: a Ctrl-C reaches the child and us at the same time, and the child may be seen to end
// before our own signal handler has run: one turn of the event loop puts that in order.
async function abortedBySameSignal(
  killedBy: string | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (killedBy !== undefined) await new Promise((done) => setImmediate(done));
  if (signal?.aborted === true)
    throw signal.reason ?? new PublishError('INTERRUPTED', 'interrupted');
}
