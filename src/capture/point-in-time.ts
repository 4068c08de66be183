// The point in time: freezes or pauses the guest, ends its mirrors, and thaws or resumes it at once.
import { messageOf, PublishError } from '../core/errors.ts';
import type { Domain } from '../libvirt/domain.ts';
import { pause, pauseGuest } from '../run/acts/chain-acts.ts';
import { freeze } from '../run/acts/freeze-act.ts';
import type { MirrorData } from '../run/acts/guest-acts.ts';
import { assertNotTakenOver } from '../run/guard/take-over.ts';
import type { CaptureRun, PointInTime } from './capture-run.ts';
import { holdLimitMs } from './freeze-limit.ts';
import { withHoldDeadline } from './hold-deadline.ts';
import { endMirrors, type GuestHoldControl, MIN_ABORT_MS } from './live/end-mirrors.ts';
import { type FrozenGuest, freezeGuest, thawGuest } from './quiesce.ts';

const SLACK_MS = 500;

/** How the guest is held; `since` is `performance.now()`. */
export type GuestHold = { how: 'frozen'; frozen: FrozenGuest } | { how: 'paused'; since: number };

/**
 * Holds the guest, ends all mirrors, and releases the guest. The point in time is the end of the mirrors.
 *
 * NOTE: mirrors are ended one after the other. A write in between would be in the later disks only.
 * So a guest with several disks that cannot be frozen is paused: QEMU has completed all requests
 * when its vCPUs are stopped.
 * @throws PublishError QUIESCE, MIRROR, NO_SPACE; the signal's reason.
 */
export async function takePointInTime(
  run: CaptureRun,
  mirrors: readonly MirrorData[],
): Promise<PointInTime> {
  run.signal.throwIfAborted();
  const hold = await holdGuest(run, mirrors);
  const held = hold && heldBy(run, hold);
  await whileHeld(run, held, async () => {
    await endMirrors(run, mirrors, held);
    // A guard that acted meanwhile has released the guest, or ended a mirror too early.
    await assertNotTakenOver(run.folder.path, 'quiesce');
    await run.atPointInTime();
  });
  const moment = await release(run, hold);
  if (hold?.how === 'frozen' && moment.consistency === 'crash' && mirrors.length > 1) {
    throw notOneMoment(run, mirrors.length);
  }
  return moment;
}

async function release(run: CaptureRun, hold: GuestHold | undefined): Promise<PointInTime> {
  if (!hold) return { consistency: 'crash', freezeMs: null, pauseMs: null };
  if (hold.how === 'frozen') return { ...(await thawGuest(run, hold.frozen)), pauseMs: null };
  const { state } = await run.domain.getState();
  const pauseMs = Math.round((await run.scope.undo(pause)) - hold.since);
  if (state !== 'paused') throw notOneMoment(run, run.inspection.disks.length);
  return { consistency: 'crash', freezeMs: null, pauseMs };
}

function notOneMoment({ inspection }: CaptureRun, count: number): PublishError {
  const message = `another client thawed, reset, paused or resumed domain ${inspection.name} while its ${count} disks were taken, so they may not be of one point in time`;
  return new PublishError('QUIESCE', message, {
    step: 'quiesce',
    retryable: true,
    hint: 'run it again',
  });
}

/** The end of a mirror has its own deadline with a better message; this one comes later. */
async function whileHeld(
  run: CaptureRun,
  held: GuestHoldControl | undefined,
  work: () => Promise<void>,
): Promise<void> {
  if (!held) return work();
  const left = holdLimitMs(run, held) - (performance.now() - held.since);
  const ms = Math.max(left, MIN_ABORT_MS) + SLACK_MS;
  return withHoldDeadline({ host: run.host, ms, release: held.release }, work);
}

/** Returns undefined for a guest that another client has frozen: only that client may thaw it. */
function heldBy(run: CaptureRun, hold: GuestHold): GuestHoldControl | undefined {
  const release = () => releaseOnControl(run, hold);
  if (hold.how === 'paused') return { how: 'paused', since: hold.since, release };
  const { byRun, since } = hold.frozen;
  return byRun ? { how: 'frozen', since, release } : undefined;
}

/** Freezes or pauses the guest; undefined if it keeps running, or is paused already. */
async function holdGuest(
  run: CaptureRun,
  mirrors: readonly MirrorData[],
): Promise<GuestHold | undefined> {
  const frozen = await freezeGuest(run);
  if (frozen) return { how: 'frozen', frozen };
  if (mirrors.length === 1 || !(await isRunning(run.domain))) return undefined;
  const message = `the guest is paused for a moment, so that its ${mirrors.length} disks are of one point in time`;
  run.onEvent({ type: 'note', level: 'info', step: 'quiesce', message });
  const since = performance.now();
  await pauseGuest(run.scope, run.domain);
  return { how: 'paused', since };
}

/** A guest that another client paused stays paused. */
async function isRunning(domain: Domain): Promise<boolean> {
  const { state } = await domain.getState();
  return state === 'running' || state === 'blocked';
}

/** A failure here stays pending in the scope, which retries it. */
async function releaseOnControl(
  { host, inspection, scope, onEvent }: CaptureRun,
  { how }: GuestHold,
): Promise<void> {
  try {
    const domain = await host.domainForControl(inspection.uuid);
    await (how === 'frozen' ? domain?.fsThaw() : domain?.resume());
    await scope.markUndone(how === 'frozen' ? freeze : pause);
  } catch (error) {
    const message = `the guest is not released yet: ${messageOf(error)}`;
    onEvent({ type: 'note', level: 'warning', step: 'quiesce', message });
  }
}
