// Runs one program to its end or its deadline; the only importer of execa.
import { PublishError } from '../core/errors.ts';
import { trackProgram } from '../core/running-programs.ts';
import { withoutSecrets } from '../core/secrets.ts';

// NOTE: loading it takes a tenth of a second, during which the run already asks libvirt.
const loading = import('execa');

/** Output beyond this ends the program. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

export interface ProgramCall {
  /** The program and its arguments; no shell is used. */
  argv: readonly [string, ...string[]];
  /** Added to the environment, in which LC_ALL is `C`. */
  env?: Readonly<Record<string, string>>;
  signal?: AbortSignal | undefined;
  timeoutMs: number;
  /** Called with each piece of standard output, which is then not kept. */
  onOutput?: ((piece: string) => void) | undefined;
}

/** How a program ended. */
export interface Outcome {
  exitCode: number | undefined;
  /** The signal that ended it, such as `SIGKILL`. */
  killedBy: string | undefined;
  timedOut: boolean;
  /** Why it could not start: `ENOENT` if it does not exist. */
  spawnCode: string | undefined;
  stderr: string;
}

/**
 * Returns how the program ended, with any exit code.
 * @throws the signal's reason after an abort, when the child has ended; the error of `onOutput`.
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
  trackProgram(child);
  // An error in a listener would end this process; it ends the program instead.
  const failures: unknown[] = [];
  child.stdout.on('data', (piece) => {
    try {
      if (failures.length === 0) onOutput?.(String(piece));
    } catch (error) {
      failures.push(error);
      child.kill();
    }
  });
  const result = await child;
  if (failures.length > 0) throw failures[0];
  await abortedBySameSignal(result.signal, signal);
  return {
    exitCode: result.exitCode,
    killedBy: result.signal,
    timedOut: result.timedOut,
    spawnCode: result.code,
    // Before callers shorten it: a secret that is cut in two is hard to recognize.
    stderr: withoutSecrets(result.stderr),
    stdout: result.stdout ?? '',
  };
}

// NOTE: Ctrl-C reaches the child and this process at the same time. The child's exit may be seen before
// this process's signal handler has run; one turn of the event loop corrects the order.
async function abortedBySameSignal(
  killedBy: string | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (killedBy !== undefined) await new Promise((done) => setImmediate(done));
  if (signal?.aborted === true)
    throw signal.reason ?? new PublishError('INTERRUPTED', 'the program was interrupted');
}
