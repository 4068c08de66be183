// Ends the mirrors: each delta keeps the state of its disk at this moment.
import { messageOf } from '../../core/errors.ts';
import { pollUntil } from '../../core/poll.ts';
import { VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC } from '../../libvirt/ffi/constants.ts';
import { parseDomainXml } from '../../libvirt/xml/domain-xml.ts';
import type { MirrorData } from '../../run/acts/guest-acts.ts';
import type { CaptureRun } from '../capture-run.ts';
import { holdLimitMs } from '../freeze-limit.ts';
import { failed, readyMirrors, vanished } from './mirror-state.ts';

export const MIN_ABORT_MS = 1000;
const POLL_MS = 50;

/** A guest that this run has frozen or paused, and how to release it. */
export interface GuestHoldControl {
  how: 'frozen' | 'paused';
  /** `performance.now()` when that began. */
  since: number;
  /** Thaws or resumes it on the control connection. */
  release: () => Promise<void>;
}

/**
 * Ends the mirrors and keeps the old disks. If the guest is held and libvirt does not answer in time,
 * releases the guest on the control connection.
 *
 * NOTE: an abort resolves also if the job runs out of space at that moment (libvirt 9.0, QEMU 7.2:
 * exit 0, and the job's event says `canceled`), and the delta is incomplete then. So the free space is
 * checked before and after the aborts: if the reserve was free both times, space was not lacking.
 * @throws PublishError MIRROR if a job vanished or did not end in time; NO_SPACE
 */
export async function endMirrors(
  run: CaptureRun,
  mirrors: readonly MirrorData[],
  held: GuestHoldControl | undefined,
): Promise<void> {
  await run.checkReserve();
  const ready = await readyMirrors(run, mirrors);
  const lost = mirrors.find((mirror) => !ready.includes(mirror));
  if (lost) throw await vanished(run, lost);
  for (const mirror of mirrors) await endMirror(run, mirror, held);
  await run.checkReserve();
}

async function endMirror(
  run: CaptureRun,
  mirror: MirrorData,
  held: GuestHoldControl | undefined,
): Promise<void> {
  const timeoutMs = timeLeft(run, held);
  const aborting =
    held?.how === 'paused'
      ? abortAsync(run, mirror, timeoutMs)
      : run.domain.blockJobAbort(mirror.target, 0).then(() => true);
  if (await Promise.race([aborting, lateAfter(timeoutMs)])) return;
  // The guest is released first; the result of the abort is only noted.
  aborting.catch((error: unknown) => noteLateAbort(run, error));
  await held?.release();
  const { mirrorStallMs } = run.timeouts;
  const within = held
    ? `${holdLimitMs(run, held)} ms while the guest was ${held.how}`
    : `${mirrorStallMs} ms`;
  throw failed(run, mirror, `did not end within ${within}`);
}

/**
 * NOTE: a synchronous abort keeps the domain's job lock in libvirt until the mirror has ended, and a
 * resume of a paused guest needs that lock; a storage that hangs would hold the guest as long. A thaw
 * needs another lock, which is free.
 * @returns false if it did not end in time
 */
async function abortAsync(
  run: CaptureRun,
  mirror: MirrorData,
  timeoutMs: number,
): Promise<boolean> {
  const { domain } = run;
  await domain.blockJobAbort(mirror.target, VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC);
  const isGone = async () => {
    const { disks } = parseDomainXml(await domain.getXMLDesc(0));
    return !disks.some((disk) => disk.target === mirror.target && disk.mirror !== null);
  };
  if (!(await pollUntil(isGone, { timeoutMs, pollMs: POLL_MS }))) return false;
  // A domain that is off has no mirror either.
  if (await domain.isActive()) return true;
  throw failed(run, mirror, 'ended: the guest was switched off');
}

/** The freeze itself counts towards the limit; a minimum is left in any case. */
function timeLeft(run: CaptureRun, held: GuestHoldControl | undefined): number {
  return held === undefined
    ? run.timeouts.mirrorStallMs
    : Math.max(MIN_ABORT_MS, holdLimitMs(run, held) - (performance.now() - held.since));
}

async function lateAfter(timeoutMs: number): Promise<false> {
  await new Promise<void>((resolve) => setTimeout(resolve, timeoutMs).unref());
  return false;
}

function noteLateAbort({ onEvent }: CaptureRun, error: unknown): void {
  const message = `the late abort of the mirror failed: ${messageOf(error)}`;
  onEvent({ type: 'note', level: 'warning', step: 'mirror', message });
}
