// The lock of a domain: one run at a time; the kernel releases it when the holder dies.
import { setTimeout as sleep } from 'node:timers/promises';
import { PublishError } from '../../core/errors.ts';
import {
  askFileLock,
  type FileLock,
  listFileLocks,
  tryFileLock,
} from '../../host/files/file-lock.ts';

/** `guard` and `recover` hold the lock of a dead run while they restore its guest. */
export type LockRole = 'run' | 'guard' | 'recover';

/** The holder of a domain's lock. */
export interface LockHolder {
  runId: string;
  role: LockRole;
  pid: number;
  since: string;
}

export type DomainLock = FileLock;

export interface LockOptions {
  role?: LockRole;
  /** How long to wait for a guard or a recover that holds the lock; a run is not waited for. */
  waitMs?: number;
}

const PAUSE_MS = 50;
const PREFIX = 'domain-';

/**
 * Takes the lock of a domain.
 *
 * NOTE: it is a kernel lock on a file in a folder of this user. The kernel releases it when its
 * process dies, so no lock is ever stale. It excludes all processes of one user that see the same
 * folder, with any state directory, network namespace or Node version.
 * @throws PublishError DOMAIN_BUSY with the holder's run and pid; like tryFileLock.
 */
export async function lockDomain(
  domain: { name: string; uuid: string },
  runId: string,
  { role = 'run', waitMs = 0 }: LockOptions = {},
): Promise<DomainLock> {
  const deadline = performance.now() + waitMs;
  const holder: LockHolder = { runId, role, pid: process.pid, since: new Date().toISOString() };
  for (;;) {
    const lock = await tryFileLock(PREFIX + domain.uuid, holder);
    if (lock) return lock;
    const other = await askLock(domain.uuid);
    // The holder has just ended, and the lock is free.
    if (other === 'free') continue;
    const isRecovering = other !== 'unknown' && other.role !== 'run';
    if (!isRecovering || performance.now() >= deadline) throw busy(domain.name, other);
    await sleep(PAUSE_MS);
  }
}

/** Returns the holder of the domain's lock; `unknown` if its lock file does not name it. */
export function askLock(uuid: string): Promise<LockHolder | 'free' | 'unknown'> {
  return ask(PREFIX + uuid);
}

/**
 * Whether the process of this run lives, also before its journal names its domain. True if a lock
 * with an unknown holder exists.
 */
export async function isRunAlive(runId: string): Promise<boolean> {
  for (const name of listFileLocks(PREFIX)) {
    const holder = await ask(name);
    if (holder === 'unknown') return true;
    if (holder !== 'free' && holder.runId === runId && holder.role === 'run') return true;
  }
  return false;
}

async function ask(name: string): Promise<LockHolder | 'free' | 'unknown'> {
  const state = await askFileLock(name);
  if (typeof state === 'string') return state;
  return isHolder(state.holder) ? state.holder : 'unknown';
}

const ROLES: readonly unknown[] = ['run', 'guard', 'recover'] satisfies LockRole[];

function isHolder(value: unknown): value is LockHolder {
  const { runId, role, pid, since } = (value ?? {}) as Partial<Record<keyof LockHolder, unknown>>;
  const areWords = [runId, since].every((each) => /^[\w:.-]{1,64}$/.test(String(each)));
  return areWords && ROLES.includes(role) && Number.isSafeInteger(pid);
}

function busy(name: string, holder: LockHolder | 'unknown'): PublishError {
  const { message, hint } = describe(name, holder);
  return new PublishError('DOMAIN_BUSY', message, { step: 'inspect', retryable: true, hint });
}

function describe(name: string, holder: LockHolder | 'unknown'): { message: string; hint: string } {
  if (holder === 'unknown') {
    return {
      message: `domain ${name} is locked by a process that its lock file does not name`,
      hint: 'look for a virt-publish process, or end the process that has the lock file open',
    };
  }
  const { role, runId, pid, since } = holder;
  if (role === 'run') {
    return {
      message: `domain ${name} is being published by run ${runId} (process ${pid}, since ${since})`,
      hint: 'wait for its end, or end it with SIGTERM',
    };
  }
  return {
    message: `domain ${name} is being restored after run ${runId} died (by process ${pid}, since ${since})`,
    hint: 'retry in a moment',
  };
}
