// The point in time: the guest is frozen, or paused, while its mirrors are ended, and let go at once.
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

/** What holds the guest; `since` is `performance.now()`. */
export type GuestHold = { how: 'frozen'; frozen: FrozenGuest } | { how: 'paused'; since: number };

/**
 * Holds the guest, ends all mirrors, and lets it go. The point in time is the moment of the ends.
 *
 * NOTE: mirrors are ended one after the other. What a guest writes in between is in the later disks
 * and not in the earlier ones, so with several disks one that cannot be frozen is paused: QEMU has
 * finished all that was under way when its vCPUs stand still.
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
    // A guard that came in between has let the guest go, or has ended a mirror before its time.
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
  const message = `domain ${inspection.name} was thawed, reset, paused or resumed by somebody else while its ${count} disks were taken, so they may not be of one point in time; run it again`;
  return new PublishError('QUIESCE', message, { step: 'quiesce', retryable: true });
}

/** The end of a mirror has a deadline of its own, which says more; this one comes after it. */
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

/** Undefined for a guest that somebody else has frozen: nobody but they may thaw it. */
function heldBy(run: CaptureRun, hold: GuestHold): GuestHoldControl | undefined {
  const release = () => releaseOnControl(run, hold);
  if (hold.how === 'paused') return { how: 'paused', since: hold.since, release };
  const { byUs, since } = hold.frozen;
  return byUs ? { how: 'frozen', since, release } : undefined;
}

/** Undefined where a guest runs on, or stands still already. */
async function holdGuest(
  run: CaptureRun,
  mirrors: readonly MirrorData[],
): Promise<GuestHold | undefined> {
  const frozen = await freezeGuest(run);
  if (frozen) return { how: 'frozen', frozen };
  if (mirrors.length === 1 || !(await isRunning(run.domain))) return undefined;
  const message = `the guest is paused for the moment, so that its ${mirrors.length} disks are of one point in time`;
  run.onEvent({ type: 'note', level: 'info', step: 'quiesce', message });
  const since = performance.now();
  await pauseGuest(run.scope, run.domain);
  return { how: 'paused', since };
}

/** One that is paused stays so: nobody may resume it but who paused it. */
async function isRunning(domain: Domain): Promise<boolean> {
  const { state } = await domain.getState();
  return state === 'running' || state === 'blocked';
}

/** What fails here stays pending in the scope, and is tried again there. */
async function releaseOnControl(
  { host, inspection, scope, onEvent }: CaptureRun,
  { how }: GuestHold,
): Promise<void> {
  try {
    const domain = await host.domainForControl(inspection.uuid);
    await (how === 'frozen' ? domain?.fsThaw() : domain?.resume());
    await scope.markUndone(how === 'frozen' ? freeze : pause);
  } catch (error) {
    const message = `the guest was not let go at once: ${messageOf(error)}`;
    onEvent({ type: 'note', level: 'warning', step: 'quiesce', message });
  }
}
