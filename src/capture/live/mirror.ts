// Starts the mirrors, and waits until each of them is ready.
import { PublishError } from '../../core/errors.ts';
import { pollUntil } from '../../core/poll.ts';
import { needsFullCopy } from '../../domain/chain/backing-chain.ts';
import type { BlockJobInfo } from '../../libvirt/domain.ts';
import { isLibvirtError } from '../../libvirt/errors.ts';
import {
  VIR_DOMAIN_BLOCK_COPY_REUSE_EXT,
  VIR_DOMAIN_BLOCK_COPY_SHALLOW,
  VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB,
  VIR_DOMAIN_BLOCK_REBASE_COPY,
  VIR_DOMAIN_BLOCK_REBASE_REUSE_EXT,
  VIR_DOMAIN_BLOCK_REBASE_SHALLOW,
} from '../../libvirt/ffi/constants.ts';
import { isOff } from '../../libvirt/is-off.ts';
import { mirrorTargetXml } from '../../libvirt/xml/mirror-target-xml.ts';
import { type MirrorData, mirror as mirrorAct } from '../../run/acts/guest-acts.ts';
import type { CaptureRun } from '../capture-run.ts';
import { StallWatch } from '../stall-watch.ts';
import { closedForQemu, describeClosed } from './delta-owner.ts';
import { failed, readyMirrors, vanished } from './mirror-state.ts';

const MIB = 1024 * 1024;
/** The longest pause between two reads of a block job. */
const POLL_MS = 500;

/** @throws PublishError MIRROR if libvirt rejects the job. */
export async function startMirror(run: CaptureRun, mirror: MirrorData): Promise<void> {
  const { scope, plan } = run;
  const { target, delta } = mirror;
  try {
    await scope.perform(mirrorAct, mirror, () =>
      plan.method === 'copy' ? startCopy(run, mirror) : startRebase(run, mirror),
    );
  } catch (error) {
    if (!isLibvirtError(error)) throw error;
    throw new PublishError(
      'MIRROR',
      `libvirt did not start the mirror of disk ${target}: ${error.message}`,
      { step: 'mirror', cause: error, hint: await hintFor(run, delta) },
    );
  }
}

async function hintFor({ domain }: CaptureRun, delta: string): Promise<string> {
  // The delta may be missing, which must not hide the mirror's own error.
  const closed = await closedForQemu(domain, delta).catch(() => undefined);
  const obstacle = closed && describeClosed(closed);
  if (obstacle) return `${obstacle.hint}: ${obstacle.message}`;
  return `read the log of libvirtd; QEMU must be able to write ${delta}`;
}

async function startRebase(run: CaptureRun, { target, delta }: MirrorData) {
  const { domain, bandwidthMib } = run;
  const shallow = isShallow(run, target) ? VIR_DOMAIN_BLOCK_REBASE_SHALLOW : 0;
  const flags = VIR_DOMAIN_BLOCK_REBASE_COPY | VIR_DOMAIN_BLOCK_REBASE_REUSE_EXT | shallow;
  await domain.blockRebase(target, delta, bandwidthMib, flags);
}

/** NOTE: TRANSIENT_JOB (libvirt 3.5) lets a persistent domain be copied; blockRebase refuses it. */
async function startCopy(run: CaptureRun, { target, delta }: MirrorData) {
  const { domain, bandwidthMib } = run;
  const shallow = isShallow(run, target) ? VIR_DOMAIN_BLOCK_COPY_SHALLOW : 0;
  const flags = VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB | VIR_DOMAIN_BLOCK_COPY_REUSE_EXT | shallow;
  const params = bandwidthMib === 0 ? {} : { bandwidthBytes: bandwidthMib * MIB };
  await domain.blockCopy(target, mirrorTargetXml(delta), params, flags);
}

/** Whether the delta shares the disk's backing file; a full copy has none. */
function isShallow({ inspection }: CaptureRun, target: string): boolean {
  return !inspection.disks.some(
    ({ disk, facts }) => disk.target === target && needsFullCopy(facts),
  );
}

/** A mirror that is waited for. Once ready it stays ready until it is ended, or fails. */
interface Watched {
  mirror: MirrorData;
  stall: StallWatch;
  ready: boolean;
}

/**
 * Waits until every mirror is in sync with its disk.
 * @throws PublishError MIRROR if a job vanishes, stalls, or is not ready in time.
 */
export async function awaitMirrors(run: CaptureRun, mirrors: readonly MirrorData[]): Promise<void> {
  const { timeouts, signal } = run;
  const watched = mirrors.map((mirror): Watched => {
    return { mirror, stall: new StallWatch(timeouts.mirrorStallMs), ready: false };
  });
  const ready = await pollUntil(() => areReady(run, watched), {
    timeoutMs: timeouts.mirrorMs,
    pollMs: POLL_MS,
    signal,
  });
  const late = watched.find((each) => !each.ready);
  if (ready || !late) return;
  throw failed(
    run,
    late.mirror,
    `was not ready after ${timeouts.mirrorMs / 1000} s`,
    'raise timeouts.mirrorMs or --bandwidth, or use --mode cold if the guest writes faster than the mirror',
  );
}

/**
 * NOTE: only the live XML shows that a mirror is ready. libvirt keeps `cur` at `end - 1` until
 * then, reports 0 of 1 for a job that has not started, and 0 of 0 for no job.
 */
async function areReady(run: CaptureRun, watched: readonly Watched[]): Promise<boolean> {
  const jobs: (BlockJobInfo & { of: Watched })[] = [];
  for (const of of watched) {
    const job = await readJob(run, of.mirror);
    if (!job) throw await vanished(run, of.mirror);
    jobs.push({ ...job, of });
  }
  const sum = (key: 'cur' | 'end') => jobs.reduce((total, job) => total + job[key], 0);
  run.onEvent({ type: 'progress', step: 'mirror', bytes: sum('cur'), total: sum('end') });
  const near = jobs.filter(({ of, cur, end }) => !of.ready && end - cur <= 1);
  const ready =
    near.length === 0
      ? []
      : await readyMirrors(
          run,
          near.map(({ of }) => of.mirror),
        );
  for (const { of } of near) of.ready = ready.includes(of.mirror);
  for (const { of, cur, end } of jobs) {
    if (of.ready || !of.stall.isStalled(cur)) continue;
    const seconds = run.timeouts.mirrorStallMs / 1000;
    throw failed(run, of.mirror, `copied nothing for ${seconds} s (${cur} of ${end} bytes)`);
  }
  return watched.every((each) => each.ready);
}

async function readJob(
  { domain }: CaptureRun,
  { target }: MirrorData,
): Promise<BlockJobInfo | undefined> {
  try {
    return await domain.blockJobInfo(target);
  } catch (error) {
    if (await isOff(domain, error)) return undefined;
    throw error;
  }
}
