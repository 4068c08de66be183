// One run a domain at a time: a lock that a dead holder cannot keep.
import { setTimeout as sleep } from 'node:timers/promises';
import { PublishError } from '../errors.ts';
import { askSocketLock, type SocketLock, trySocketLock } from './socket-lock.ts';

/** `guard` and `recover` hold the lock of a run that is dead while they put its guest back. */
export type LockRole = 'run' | 'guard' | 'recover';

/** Who holds a domain's lock. */
export interface LockHolder {
  runId: string;
  role: LockRole;
  pid: number;
  since: string;
}

export type DomainLock = SocketLock;

export interface LockOptions {
  role?: LockRole;
  /** How long to wait for somebody who puts the guest back; nobody else is waited for. */
  waitMs?: number;
}

const PAUSE_MS = 50;

/**
 * Takes the lock of a domain, or says who has it.
 *
 * NOTE: the lock is an abstract unix socket. The kernel drops it at the instant its process dies,
 * so there is no stale lock file to judge, and the holder itself answers who it is. It is seen by
 * all processes of one network namespace, whatever their state directory.
 * @throws PublishError DOMAIN_BUSY with the holder's run and pid.
 */
export async function lockDomain(
  domain: { name: string; uuid: string },
  runId: string,
  { role = 'run', waitMs = 0 }: LockOptions = {},
): Promise<DomainLock> {
  const deadline = performance.now() + waitMs;
  const holder: LockHolder = { runId, role, pid: process.pid, since: new Date().toISOString() };
  for (;;) {
    const lock = await trySocketLock(domainAddress(domain.uuid), holder);
    if (lock) return role === 'run' ? withOwnLock(lock, holder) : lock;
    const other = await askLock(domain.uuid);
    // It has just ended, and the lock is free.
    if (other === 'free') continue;
    const isMending = other !== 'silent' && other.role !== 'run';
    if (!isMending || performance.now() >= deadline) throw busy(domain.name, other);
    await sleep(PAUSE_MS);
  }
}

/** Who holds the domain's lock. `silent`: somebody who does not answer, as a stopped process. */
export function askLock(uuid: string): Promise<LockHolder | 'free' | 'silent'> {
  return askSocketLock(domainAddress(uuid));
}

/** Whether the process of this run lives, also before its journal tells which domain it is on. */
export async function isRunAlive(runId: string): Promise<boolean> {
  return (await askSocketLock(runAddress(runId))) !== 'free';
}

/** A run can be asked for by its own id as well. */
async function withOwnLock(lock: DomainLock, holder: LockHolder): Promise<DomainLock> {
  const own = await trySocketLock(runAddress(holder.runId), holder);
  return {
    release: async () => {
      await own?.release();
      await lock.release();
    },
  };
}

function domainAddress(uuid: string): string {
  return `\0virt-publish/domain/${uuid}`;
}

function runAddress(runId: string): string {
  return `\0virt-publish/run/${runId}`;
}

function busy(name: string, holder: LockHolder | 'silent'): PublishError {
  const options = { step: 'inspect', retryable: true } as const;
  return new PublishError('DOMAIN_BUSY', describe(name, holder), options);
}

function describe(name: string, holder: LockHolder | 'silent'): string {
  if (holder === 'silent') {
    return `domain ${name} is held by a run that does not answer; look for a virt-publish process that is stopped`;
  }
  const { role, runId, pid, since } = holder;
  if (role === 'run') {
    return `domain ${name} is being published by run ${runId} (process ${pid}, since ${since}); wait until it has ended, or end it with SIGTERM`;
  }
  return `domain ${name} is being put back after run ${runId} died (by process ${pid}, since ${since}); try again in a moment`;
}
