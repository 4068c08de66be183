// One run a domain at a time: a lock that a dead holder cannot keep.
import { setTimeout as sleep } from 'node:timers/promises';
import { PublishError } from '../../core/errors.ts';
import {
  askFileLock,
  type FileLock,
  listFileLocks,
  tryFileLock,
} from '../../host/files/file-lock.ts';

/** `guard` and `recover` hold the lock of a run that is dead while they put its guest back. */
export type LockRole = 'run' | 'guard' | 'recover';

/** Who holds a domain's lock. */
export interface LockHolder {
  runId: string;
  role: LockRole;
  pid: number;
  since: string;
}

export type DomainLock = FileLock;

export interface LockOptions {
  role?: LockRole;
  /** How long to wait for somebody who puts the guest back; nobody else is waited for. */
  waitMs?: number;
}

const PAUSE_MS = 50;
const PREFIX = 'domain-';

/**
 * Takes the lock of a domain, or says who has it.
 *
 * NOTE: the lock is the kernel's, on a file in a folder of this user. The kernel drops it at the
 * instant its process dies, so there is no stale lock to judge. It holds among all processes of one
 * user that see the same folder, whatever their state directory, network namespace or Node.
 * @throws PublishError DOMAIN_BUSY with the holder's run and pid; as tryFileLock.
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
    // It has just ended, and the lock is free.
    if (other === 'free') continue;
    const isMending = other !== 'unknown' && other.role !== 'run';
    if (!isMending || performance.now() >= deadline) throw busy(domain.name, other);
    await sleep(PAUSE_MS);
  }
}

/** Who holds the domain's lock. `unknown`: somebody whose lock file does not say it. */
export function askLock(uuid: string): Promise<LockHolder | 'free' | 'unknown'> {
  return ask(PREFIX + uuid);
}

/**
 * Whether the process of this run lives, also before its journal tells which domain it is on. True
 * if it may be the holder of a lock whose file does not say.
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
  const options = { step: 'inspect', retryable: true } as const;
  return new PublishError('DOMAIN_BUSY', describe(name, holder), options);
}

function describe(name: string, holder: LockHolder | 'unknown'): string {
  if (holder === 'unknown') {
    return `domain ${name} is held by a process whose lock file does not say who it is; look for a virt-publish process, or end what keeps that file open`;
  }
  const { role, runId, pid, since } = holder;
  if (role === 'run') {
    return `domain ${name} is being published by run ${runId} (process ${pid}, since ${since}); wait until it has ended, or end it with SIGTERM`;
  }
  return `domain ${name} is being put back after run ${runId} died (by process ${pid}, since ${since}); try again in a moment`;
}
