// The block job that shortens a chain: starts it, watches it to its end, and pivots if needed.
import type { Config } from '../../config/config.ts';
import { messageOf, PublishError } from '../../core/errors.ts';
import { type OnEvent, runStep } from '../../core/events.ts';
import { pollUntil } from '../../core/poll.ts';
import type { BlockJobInfo, Domain } from '../../libvirt/domain.ts';
import { isLibvirtError } from '../../libvirt/errors.ts';
import {
  VIR_DOMAIN_BLOCK_COMMIT_ACTIVE,
  VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT,
} from '../../libvirt/ffi/constants.ts';
import { isOff } from '../../libvirt/is-off.ts';
import { type DiskDescription, parseDomainXml } from '../../libvirt/xml/domain-xml.ts';
import { commit, livePaths, pause, pauseGuest, pull } from '../../run/acts/chain-acts.ts';
import type { GuestContext } from '../../run/acts/guest-context.ts';
import type { GuestScope } from '../../run/guest-scope.ts';
import type { Journal } from '../../run/journal/journal.ts';
import { StallWatch } from '../stall-watch.ts';
import type { ChainPlan } from './plan-chain.ts';

export interface ChainJob {
  domain: Domain;
  plan: ChainPlan;
  journal: Journal;
  scope: GuestScope<GuestContext>;
  timeouts: Pick<Config['timeouts'], 'mirrorMs' | 'mirrorStallMs'>;
  /** MiB/s; 0 is no limit. */
  bandwidthMib: number;
  /** @throws PublishError NO_SPACE if the written file system has less free than its reserve */
  checkReserve: () => Promise<void>;
  onEvent: OnEvent;
  signal: AbortSignal;
}

/** libvirt ends a job before its XML has the new chain. */
const SETTLE_MS = 10_000;
/** The longest pause between two reads of a block job. */
const POLL_MS = 500;

/** Whether QEMU has written all moved data to the disk; `why` not, for messages. */
export type Flushed = { flushed: true } | { flushed: false; why: string };

/**
 * Resolves when the chain is shorter; when it rejects, `scope.restore()` ends the job.
 * @throws PublishError CHAIN, NO_SPACE; the signal's reason.
 */
export async function runChainJob(job: ChainJob): Promise<Flushed> {
  const { plan, scope, onEvent } = job;
  const act = plan.kind === 'commit' ? commit : pull;
  await runStep(onEvent, plan.kind, async () => {
    const removed = plan.removed.map(({ path }) => path);
    const data = { target: plan.target, removed, into: plan.into.path };
    await scope.perform(act, data, () => start(job));
    await awaitEnd(job);
  });
  if (plan.pivots) await runStep(onEvent, 'pivot', () => pivot(job));
  // A failure from here on does not make the chain longer again.
  try {
    const flushed = await flush(job);
    await scope.markUndone(act);
    return flushed;
  } catch (error) {
    return {
      flushed: false,
      why: `the guest may have data that is not flushed: ${messageOf(error)}`,
    };
  }
}

const NOT_RUNNING = 'the guest is paused, and may have data that is not flushed; resume it first';

/**
 * NOTE: when a job has ended, QEMU may still have tables of the written file only in memory (after a
 * pull, QEMU 7.2: the file reads like before the job), until the guest's next flush. A pause of the
 * guest flushes everything; it takes some milliseconds.
 */
async function flush({ domain, scope }: ChainJob): Promise<Flushed> {
  const { state } = await domain.getState();
  if (state !== 'running' && state !== 'blocked') return { flushed: false, why: NOT_RUNNING };
  await pauseGuest(scope, domain);
  await scope.undo(pause);
  return { flushed: true };
}

async function start({ domain, plan, bandwidthMib }: ChainJob): Promise<void> {
  const { target, kind, pivots } = plan;
  const nameOf = await namesOfLayers(domain, target);
  const base = plan.base && nameOf(plan.base.path);
  try {
    if (kind === 'commit') {
      const range = { base, top: nameOf(plan.top.path) };
      const flags = pivots ? VIR_DOMAIN_BLOCK_COMMIT_ACTIVE : 0;
      await domain.blockCommit(target, range, bandwidthMib, flags);
    } else if (base === null) await domain.blockPull(target, bandwidthMib, 0);
    else await domain.blockRebase(target, base, bandwidthMib, 0);
  } catch (error) {
    if (!isLibvirtError(error)) throw error;
    const message = `libvirt did not start the ${kind} on disk ${target} of domain ${domain.name}: ${error.message}`;
    const hint = 'read the log of libvirtd; the chain is unchanged';
    throw new PublishError('CHAIN', message, { step: kind, cause: error, hint });
  }
}

/** Returns libvirt's names of the layers, such as `vda[2]`; a path may have several spellings. */
async function namesOfLayers(domain: Domain, target: string): Promise<(path: string) => string> {
  const disk = await readDisk(domain, target);
  return (path) => {
    const layers = disk ? [{ path: disk.source, index: disk.index }, ...disk.backingChain] : [];
    const index = layers.find((layer) => layer.path === path)?.index ?? null;
    return index === null ? path : `${target}[${index}]`;
  };
}

async function readDisk(domain: Domain, target: string): Promise<DiskDescription | undefined> {
  const { disks } = parseDomainXml(await domain.getXMLDesc(0));
  return disks.find((disk) => disk.target === target);
}

async function awaitEnd(job: ChainJob): Promise<void> {
  const { timeouts, signal } = job;
  const stall = new StallWatch(timeouts.mirrorStallMs);
  const { mirrorMs: timeoutMs } = timeouts;
  if (await pollUntil(() => isAtEnd(job, stall), { timeoutMs, pollMs: POLL_MS, signal })) return;
  throw failed(job, `was not done after ${timeoutMs / 1000} s`, 'raise timeouts.mirrorMs');
}

/** An active commit waits at its end for the pivot; other jobs vanish, and the chain is shorter. */
async function isAtEnd(job: ChainJob, stall: StallWatch): Promise<boolean> {
  const { plan, onEvent, timeouts } = job;
  const info = await readJob(job);
  if (!info) {
    if (!plan.pivots && (await isShorter(job))) return true;
    throw await vanished(job);
  }
  onEvent({ type: 'progress', step: plan.kind, bytes: info.cur, total: info.end });
  if (plan.pivots && info.end - info.cur <= 1 && (await isReady(job))) return true;
  if (!stall.isStalled(info.cur)) return false;
  throw failed(job, `moved nothing for ${timeouts.mirrorStallMs / 1000} s`);
}

async function readJob({ domain, plan }: ChainJob): Promise<BlockJobInfo | undefined> {
  try {
    return await domain.blockJobInfo(plan.target);
  } catch (error) {
    if (await isOff(domain, error)) return undefined;
    throw error;
  }
}

async function isReady({ domain, plan }: ChainJob): Promise<boolean> {
  const mirror = (await readDisk(domain, plan.target))?.mirror;
  return mirror?.job === 'active-commit' && mirror.ready === 'yes';
}

/** NOTE: a failed job vanishes like a completed one; only the live XML shows the difference. */
async function isShorter({ domain, plan }: ChainJob): Promise<boolean> {
  const removed = plan.removed.map(({ path }) => path);
  const hasLeft = async () => {
    const paths = await livePaths(domain, plan.target);
    return paths.length > 0 && !removed.some((path) => paths.includes(path));
  };
  try {
    return await pollUntil(hasLeft, { timeoutMs: SETTLE_MS, pollMs: 100 });
  } catch (error) {
    if (await isOff(domain, error)) return false;
    throw error;
  }
}

async function pivot(job: ChainJob): Promise<void> {
  const { domain, plan, journal, checkReserve, signal } = job;
  await checkReserve();
  signal.throwIfAborted();
  await journal.checkpoint('pivot');
  try {
    await domain.blockJobAbort(plan.target, VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT);
  } catch (error) {
    if (isLibvirtError(error)) throw failed(job, `could not be pivoted: ${error.message}`);
    throw error;
  }
  if (!(await isShorter(job))) throw failed(job, 'was pivoted, but the chain is unchanged');
}

/** Returns the error for a job that vanished. @throws PublishError NO_SPACE if space is lacking */
async function vanished(job: ChainJob): Promise<PublishError> {
  await job.checkReserve();
  return failed(
    job,
    'ended before it was done: libvirt has no block job any more',
    `check whether the guest was switched off, the space for ${job.plan.into.path}, and the log in /var/log/libvirt/qemu`,
  );
}

function failed({ domain, plan }: ChainJob, what: string, hint?: string): PublishError {
  const message = `the ${plan.kind} on disk ${plan.target} of domain ${domain.name} ${what}`;
  return new PublishError('CHAIN', message, {
    step: plan.kind,
    ...(hint === undefined ? {} : { hint }),
  });
}
