// Holds the layers that an image is read of against the ones that were inspected, before and after the read.
import type { StillDisk } from '../../capture/capture-run.ts';
import { PublishError } from '../../core/errors.ts';
import type { OnEvent } from '../../core/events.ts';
import { inTime, type TimeLimits } from '../../core/time-limit.ts';
import {
  blindSpotOf,
  type LayerMark,
  layerChanged,
  markLayer,
} from '../../domain/chain/layer-mark.ts';

interface Reading extends TimeLimits {
  /** A guest wrote to the disk's own file between the inspection and now. */
  wasWritten: boolean;
  onEvent: OnEvent;
}

/**
 * Runs `read`, which reads the still disk and its layers by their paths.
 *
 * NOTE: identity, size and time of each layer are compared, whoever reads it. The file of a delta is
 * the run's own; what the guest writes around an internal snapshot is not of that snapshot.
 * @throws PublishError INTEGRITY that names the layer which is another one, or was changed.
 */
export async function readUnchanged<T>(
  still: StillDisk,
  reading: Reading,
  read: () => Promise<T>,
): Promise<T> {
  const inspected = still.isScratch ? still.facts.marks.slice(1) : still.facts.marks;
  const isActive = ({ path }: LayerMark) => !still.isScratch && path === still.path;
  const before = await marksNow(inspected, reading);
  for (const [index, mark] of inspected.entries()) {
    const mayDiffer = isActive(mark) && (reading.wasWritten || still.snapshot !== undefined);
    refuseOther(mark, before[index], mayDiffer);
  }
  await noteBlindSpots(before, reading.onEvent);
  const result = await read();
  const after = await marksNow(inspected, reading);
  for (const [index, mark] of before.entries()) {
    refuseOther(mark, after[index], isActive(mark) && still.snapshot !== undefined);
  }
  return result;
}

function marksNow(marks: readonly LayerMark[], limits: TimeLimits): Promise<LayerMark[]> {
  const paths = marks.map(({ path }) => path);
  const late = () => {
    const message = `looking at ${paths.join(', ')} took longer than its deadline: see whether the storage hangs`;
    return new PublishError('QEMU_IMG', message, { step: 'convert' });
  };
  return inTime({ ...limits, late }, () => Promise.all(paths.map(markOrGone)));
}

/** One that is gone was changed too. */
async function markOrGone(path: string): Promise<LayerMark> {
  return markLayer(path).catch(() => ({ path, kind: 'other', identity: 'gone', state: 'gone' }));
}

function refuseOther(mark: LayerMark, now: LayerMark | undefined, mayDiffer: boolean): void {
  const isSame = now?.identity === mark.identity && (mayDiffer || now.state === mark.state);
  if (!isSame) throw layerChanged(mark.path, 'convert');
}

async function noteBlindSpots(marks: readonly LayerMark[], onEvent: OnEvent): Promise<void> {
  for (const mark of marks) {
    const message = await blindSpotOf(mark);
    if (message !== null) onEvent({ type: 'note', level: 'debug', step: 'convert', message });
  }
}
