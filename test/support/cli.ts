// Runs the command like a user: the built program, as a process, in a home of its own.
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

/** The home of a command: state, cache and config that no other test or user has. */
export interface Sandbox {
  dir: string;
  stateDir: string;
  env: Record<string, string>;
}

export interface CliOptions {
  /** A new one for each call if left out; pass one to calls that belong together. */
  sandbox?: Sandbox;
  /** Added to the environment; undefined removes a variable. */
  env?: Record<string, string | undefined>;
  input?: string;
  signal?: AbortSignal;
  /** Deadline, after which it is killed; 120 s if left out. */
  timeoutMs?: number;
}

/** The bundle, as it ships. */
export const CLI = new URL('../../dist/cli/main.js', import.meta.url).pathname;
/** The same program as modules, which a file loaded by `--import` can change. */
const HOOKED_CLI = new URL('../../build/cli/main.js', import.meta.url).pathname;
const TEST_HOOK = new URL('test-hook.mjs', import.meta.url).href;

/** Runs `virt-publish ARGS` to its end; resolves with any exit code. */
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
  const child = spawn(process.execPath, [...programOf(options.env), ...args], {
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

/** Node's arguments: with the test hook if VIRT_PUBLISH_TEST_AT is set, which no child inherits. */
function programOf(env: CliOptions['env']): string[] {
  if (env?.VIRT_PUBLISH_TEST_AT !== undefined) return ['--import', TEST_HOOK, HOOKED_CLI];
  return [env?.NODE_OPTIONS === undefined ? CLI : HOOKED_CLI];
}

/** Makes an empty home below the lab's folder, where QEMU's user can reach a work directory. */
export async function makeSandbox(): Promise<Sandbox> {
  const dir = await makeFolder('vp-test-home');
  const stateDir = join(dir, 'state');
  await mkdir(stateDir, { mode: 0o711 });
  const env = {
    HOME: dir,
    XDG_STATE_HOME: join(dir, 'xdg-state'),
    XDG_CONFIG_HOME: join(dir, 'xdg-config'),
    XDG_CACHE_HOME: join(dir, 'xdg-cache'),
    // For root the state directory is the host's, not an XDG one; this moves it.
    VIRT_PUBLISH_STATE_DIR: stateDir,
    LIBVIRT_DEFAULT_URI: lab().uri,
    AWS_EC2_METADATA_DISABLED: 'true',
  };
  return { dir, stateDir, env };
}

/** The environment without the keys and profiles of the user who runs the tests. */
function withoutAws(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('AWS_')));
}

function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
