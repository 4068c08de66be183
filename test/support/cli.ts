// Runs the command as a user does: the built program, as a process, in a home of its own.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { collect, type Ran } from './exec.ts';
import { makeFolder } from './folders.ts';
import { lab } from './lab.ts';

export interface CliResult extends Ran {
  /** The lines of standard output that are JSON objects (`--json`). */
  events: Record<string, unknown>[];
}

/** Where a command keeps its things: state, cache and config of no other test or user. */
export interface Sandbox {
  dir: string;
  stateDir: string;
  env: Record<string, string>;
}

export interface CliOptions {
  /** One of its own for each call if left out; give one to calls that belong together. */
  sandbox?: Sandbox;
  /** Added to the environment, or taken away where undefined. */
  env?: Record<string, string | undefined>;
  input?: string;
  signal?: AbortSignal;
  /** Deadline, after which it is killed; 120 s if left out. */
  timeoutMs?: number;
}

/** As it ships. */
export const CLI = new URL('../../dist/cli/main.js', import.meta.url).pathname;
/** The same of modules: what `NODE_OPTIONS=--import` loads reaches into them. */
const HOOKED_CLI = new URL('../../build/cli/main.js', import.meta.url).pathname;

/** Runs `virt-publish ARGS` to its end, whatever its exit code. */
export async function runCli(
  args: readonly string[],
  options: CliOptions = {},
): Promise<CliResult> {
  return (await startCli(args, options)).done;
}

/** Starts `virt-publish ARGS`, in a process group of its own; for tests that kill it. */
export async function startCli(
  args: readonly string[],
  options: CliOptions = {},
): Promise<{ child: ChildProcess; done: Promise<CliResult> }> {
  const sandbox = options.sandbox ?? (await makeSandbox());
  const main = options.env?.NODE_OPTIONS === undefined ? CLI : HOOKED_CLI;
  const child = spawn(process.execPath, [main, ...args], {
    cwd: sandbox.dir,
    env: { ...withoutAws(process.env), ...sandbox.env, ...options.env },
    timeout: options.timeoutMs ?? 120_000,
    killSignal: 'SIGKILL',
    detached: true,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const done = collect(child, options.input).then((ran) => ({
    ...ran,
    events: jsonLines(ran.stdout),
  }));
  return { child, done };
}

/** A home with nothing in it. Below the lab's folder, so that QEMU's user can reach a work directory. */
export async function makeSandbox(): Promise<Sandbox> {
  const dir = await makeFolder('vp-test-home');
  const stateDir = join(dir, 'state');
  await mkdir(stateDir, { mode: 0o711 });
  const env = {
    HOME: dir,
    XDG_STATE_HOME: join(dir, 'xdg-state'),
    XDG_CONFIG_HOME: join(dir, 'xdg-config'),
    XDG_CACHE_HOME: join(dir, 'xdg-cache'),
    // for root the state directory is the machine's and no XDG one: this moves it all the same
    VIRT_PUBLISH_STATE_DIR: stateDir,
    LIBVIRT_DEFAULT_URI: lab().uri,
    AWS_EC2_METADATA_DISABLED: 'true',
  };
  return { dir, stateDir, env };
}

/** The environment without the keys and profiles of whoever runs the tests. */
function withoutAws(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('AWS_')));
}

function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
