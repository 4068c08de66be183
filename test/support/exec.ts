// Runs the programs that the tests use as tools and as judges.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';

export interface Ran {
  /** Null if a signal ended the program. */
  exitCode: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  input?: string | Uint8Array;
  /** Deadline, after which the program is killed; 60 s if left out. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** Runs a program to its end; resolves with any exit code. @throws if it cannot be started */
export function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Ran> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    timeout: options.timeoutMs ?? 60_000,
    killSignal: 'SIGKILL',
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  return collect(child, options.input);
}

/** Writes the input of a program and waits for its end. An abort ends the program and is no error. */
export function collect(
  child: ChildProcessWithoutNullStreams,
  input?: string | Uint8Array,
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', (error) => (error.name === 'AbortError' ? undefined : reject(error)));
    child.on('close', (exitCode) => resolve({ exitCode, stdout, stderr }));
    // A program may end without reading its input.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

/** Runs a program that must succeed; resolves to its standard output. @throws with its standard error */
export async function must(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const ran = await run(command, args, options);
  if (ran.exitCode !== 0) {
    const said = `${ran.stdout}${ran.stderr}`.trim();
    throw new Error(`${command} ${args.join(' ')}: exit ${ran.exitCode}: ${said}`);
  }
  return ran.stdout;
}
