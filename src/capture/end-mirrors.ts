// The end of the mirrors: each delta stays as its disk was at this moment.
import { messageOf } from '../errors.ts';
import type { MirrorData } from '../run/guest-acts.ts';
import type { CaptureRun } from './capture-run.ts';
import { failed, readyMirrors, vanished } from './mirror-state.ts';

const MIN_ABORT_MS = 1000;

/** A guest that is frozen or paused meanwhile. */
export interface Held {
  /** `performance.now()` when that began. */
  since: number;
  /** Lets it go on the other connection. */
  letGo: () => Promise<void>;
}

/**
 * Ends the mirrors and keeps the old disks. Where the guest is held and libvirt does not answer in
 * time, it is let go on the other connection.
 *
 * NOTE: an abort resolves also where the job ran out of space at that very moment (libvirt 9.0,
 * QEMU 7.2: exit 0, and the job's event says `canceled`), and the delta is incomplete then. So the
 * space is looked at on both sides of the aborts: with the reserve free there was no lack of it.
 * @throws PublishError MIRROR where a job was gone or did not end in time; NO_SPACE
 */
export async function endMirrors(
  run: CaptureRun,
  mirrors: readonly MirrorData[],
  held: Held | undefined,
): Promise<void> {
  await run.checkReserve();
  const ready = await readyMirrors(run, mirrors);
  const gone = mirrors.find((mirror) => !ready.includes(mirror));
  if (gone) throw await vanished(run, gone);
  for (const mirror of mirrors) await endMirror(run, mirror, held);
  await run.checkReserve();
}

async function endMirror(
  run: CaptureRun,
  mirror: MirrorData,
  held: Held | undefined,
): Promise<void> {
  const aborting = run.domain.blockJobAbort(mirror.target, 0);
  const outcome = await Promise.race([aborting.then(() => 'ended' as const), deadline(run, held)]);
  if (outcome === 'ended') return;
  // Whatever the abort does now, the guest comes first.
  aborting.catch((error: unknown) => noteLateAbort(run, error));
  await held?.letGo();
  const { freezeMs, mirrorStallMs } = run.timeouts;
  const within = held
    ? `${freezeMs} ms while the guest was frozen or paused`
    : `${mirrorStallMs} ms`;
  throw failed(run, mirror, `did not end within ${within}`);
}

/** What the freeze itself took is gone from its time; some is left in any case. */
async function deadline({ timeouts }: CaptureRun, held: Held | undefined): Promise<'late'> {
  const timeoutMs =
    held === undefined
      ? timeouts.mirrorStallMs
      : Math.max(MIN_ABORT_MS, timeouts.freezeMs - (performance.now() - held.since));
  await new Promise<void>((resolve) => setTimeout(resolve, timeoutMs).unref());
  return 'late';
}

function noteLateAbort({ onEvent }: CaptureRun, error: unknown): void {
  const message = `the mirror's abort came to an end later: ${messageOf(error)}`;
  onEvent({ type: 'note', level: 'warning', step: 'mirror', message });
}
