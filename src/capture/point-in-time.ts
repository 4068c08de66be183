// The point in time: the guest is frozen, or paused, while its mirrors are ended, and let go at once.
import { messageOf } from '../errors.ts';
import type { Domain } from '../libvirt/domain.ts';
import { pause } from '../run/chain-acts.ts';
import { freeze, type MirrorData, mirror } from '../run/guest-acts.ts';
import { refuseIfTakenOver } from '../run/take-over.ts';
import type { CaptureRun, PointInTime } from './capture-run.ts';
import { endMirrors, type Held } from './end-mirrors.ts';
import { freezeGuest } from './quiesce.ts';

/** What holds the guest, and since when (`performance.now()`). */
export interface Hold {
  act: typeof freeze | typeof pause;
  since: number;
}

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
  await endMirrors(run, mirrors, held);
  // A guard that came in between has let the guest go, or has ended a mirror before its time.
  await refuseIfTakenOver(run.folder.path, 'quiesce');
  await run.atPointInTime();
  const heldMs = hold ? Math.round((await run.scope.takeBack(hold.act)) - hold.since) : null;
  await run.scope.settle(mirror);
  const isFrozen = hold?.act === freeze;
  return {
    consistency: isFrozen ? 'filesystem' : 'crash',
    freezeMs: isFrozen ? heldMs : null,
    pauseMs: isFrozen ? null : heldMs,
  };
}

function heldBy(run: CaptureRun, hold: Hold): Held {
  const how = hold.act === freeze ? 'frozen' : 'paused';
  return { how, since: hold.since, letGo: () => letGoOnControl(run, hold) };
}

/** Undefined where a guest runs on, or stands still already. */
async function holdGuest(
  run: CaptureRun,
  mirrors: readonly MirrorData[],
): Promise<Hold | undefined> {
  const frozenAt = await freezeGuest(run);
  if (frozenAt !== undefined) return { act: freeze, since: frozenAt };
  if (mirrors.length === 1 || !(await isRunning(run.domain))) return undefined;
  const message = `the guest is paused for the moment, so that its ${mirrors.length} disks are of one point in time`;
  run.onEvent({ type: 'note', level: 'info', step: 'quiesce', message });
  const since = performance.now();
  await run.scope.perform(pause, null, () => run.domain.suspend());
  return { act: pause, since };
}

/** One that is paused stays so: nobody may resume it but who paused it. */
async function isRunning(domain: Domain): Promise<boolean> {
  const { state } = await domain.getState();
  return state === 'running' || state === 'blocked';
}

/** What fails here stays pending in the scope, and is tried again there. */
async function letGoOnControl(
  { host, inspection, scope, onEvent }: CaptureRun,
  { act }: Hold,
): Promise<void> {
  try {
    const domain = await host.domainForControl(inspection.uuid);
    await (act === freeze ? domain?.fsThaw() : domain?.resume());
    await scope.settle(act);
  } catch (error) {
    const message = `the guest was not let go at once: ${messageOf(error)}`;
    onEvent({ type: 'note', level: 'warning', step: 'quiesce', message });
  }
}
