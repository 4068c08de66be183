// Compares the layers that an image is read from with those that were inspected, before and after the read.
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
 * NOTE: identity, size and times of each layer are compared. The file of a delta is the run's own, and
 * what the guest writes outside an internal snapshot does not change that snapshot.
 * @throws PublishError INTEGRITY naming the layer that was replaced or changed
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
    assertSame(mark, before[index], mayDiffer);
  }
  await noteBlindSpots(before, reading.onEvent);
  const result = await read();
  const after = await marksNow(inspected, reading);
  for (const [index, mark] of before.entries()) {
    assertSame(mark, after[index], isActive(mark) && still.snapshot !== undefined);
  }
  return result;
}

function marksNow(marks: readonly LayerMark[], limits: TimeLimits): Promise<LayerMark[]> {
  const paths = marks.map(({ path }) => path);
  const late = () => {
    const message = `reading the attributes of ${paths.join(', ')} took longer than the deadline`;
    const hint = 'check whether the storage hangs';
    return new PublishError('QEMU_IMG', message, { step: 'convert', hint });
  };
  return inTime({ ...limits, late }, () => Promise.all(paths.map(markOrMissing)));
}

/** A layer that is missing counts as changed. */
async function markOrMissing(path: string): Promise<LayerMark> {
  return markLayer(path).catch(() => ({
    path,
    kind: 'other',
    identity: 'missing',
    state: 'missing',
  }));
}

function assertSame(mark: LayerMark, now: LayerMark | undefined, mayDiffer: boolean): void {
  const isSame = now?.identity === mark.identity && (mayDiffer || now.state === mark.state);
  if (!isSame) throw layerChanged(mark.path, 'convert');
}

async function noteBlindSpots(marks: readonly LayerMark[], onEvent: OnEvent): Promise<void> {
  for (const mark of marks) {
    const message = await blindSpotOf(mark);
    if (message !== null) onEvent({ type: 'note', level: 'debug', step: 'convert', message });
  }
}
