// What every step of a capture is given, and what a capture hands on.
import type { Config } from '../config/config.ts';
import type { OnEvent } from '../core/events.ts';
import type { Consistency } from '../core/model.ts';
import type { DiskSelection } from '../domain/choose-disk.ts';
import type { InspectedDisk, Inspection } from '../domain/inspect.ts';
import type { Domain } from '../libvirt/domain.ts';
import type { Host } from '../libvirt/host.ts';
import type { GuestContext } from '../run/acts/guest-context.ts';
import type { SpareGuard } from '../run/guard/guard.ts';
import type { GuestScope } from '../run/guest-scope.ts';
import type { Journal } from '../run/journal/journal.ts';
import type { RunFolder } from '../run/journal/run-folder.ts';
import type { CapturePlan } from './plan.ts';

type Deadline =
  | 'mirrorMs'
  | 'mirrorStallMs'
  | 'freezeMs'
  | 'managedSaveMs'
  | 'cloneMs'
  | 'convertMs'
  | 'detachMs'
  | 'requestMs';

export interface CaptureRun {
  host: Host;
  domain: Domain;
  inspection: Inspection;
  /** The disks that were asked for. */
  selection: DiskSelection;
  plan: CapturePlan;
  folder: RunFolder;
  journal: Journal;
  scope: GuestScope<GuestContext>;
  guard: SpareGuard;
  timeouts: Pick<Config['timeouts'], Deadline>;
  /** How long this guest may stay frozen; a pause has `timeouts.freezeMs`. */
  freezeLimitMs: number;
  /** @throws PublishError NO_SPACE where a directory that is written to has no more than its reserve. */
  checkReserve: () => Promise<void>;
  /**
   * Called once, when the disk holds still: the mirror has just been ended and the guest may be
   * frozen, or it is saved, or off. It must be quick.
   */
  atPointInTime: () => Promise<void>;
  /** MiB/s; 0 is no cap. */
  bandwidthMib: number;
  onEvent: OnEvent;
  signal: AbortSignal;
}

/** A disk that holds still: nobody writes to it as long as it is used. */
export type StillDisk = InspectedDisk & {
  path: string;
  format: string;
} & (
    | {
        /** A file of the run's own, which nobody needs after it is read. */
        isScratch: true;
      }
    | {
        /** The guest's own: read, and nothing else. */
        isScratch: false;
      }
  );

/** How the guest was while its disks were of one moment. */
export interface PointInTime {
  consistency: Consistency;
  /** How long the guest's file systems were frozen; null where they were not. */
  freezeMs: number | null;
  /** How long its vCPUs were paused; null where they were not. */
  pauseMs: number | null;
}

/** Disks that hold still, all as they were at one point in time; the root disk first. */
export interface StillDisks extends PointInTime {
  disks: readonly StillDisk[];
}

/** Works on the still disks; where a cold capture could not clone them, the guest waits for it. */
export type UseStillDisks<T> = (still: StillDisks) => Promise<T>;
