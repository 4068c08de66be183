// The input of every step of a capture, and its result: disks that no process writes to.
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
  /** The requested disks. */
  selection: DiskSelection;
  plan: CapturePlan;
  folder: RunFolder;
  journal: Journal;
  scope: GuestScope<GuestContext>;
  guard: SpareGuard;
  timeouts: Pick<Config['timeouts'], Deadline>;
  /** How long this guest may stay frozen; a pause has `timeouts.freezeMs`. */
  freezeLimitMs: number;
  /** @throws PublishError NO_SPACE if a directory that the run writes to has less free than its reserve. */
  checkReserve: () => Promise<void>;
  /**
   * Called once, at the point in time: the mirrors have just been ended and the guest may be frozen, or
   * it is saved, or off. It must be quick.
   */
  atPointInTime: () => Promise<void>;
  /** MiB/s; 0 is no limit. */
  bandwidthMib: number;
  onEvent: OnEvent;
  signal: AbortSignal;
}

/** A still disk: no process writes to `path` while it is used. */
export type StillDisk = InspectedDisk & {
  path: string;
  format: string;
} & (
    | {
        /** A file in the run's scratch folder; it is removed after it is read. */
        isScratch: true;
      }
    | {
        /** A file of the guest: it is only read, never written, moved or removed. */
        isScratch: false;
      }
  );

/** The state of the guest at the point in time. */
export interface PointInTime {
  consistency: Consistency;
  /** How long the guest's file systems were frozen; null if they were not. */
  freezeMs: number | null;
  /** How long its vCPUs were paused; null if they were not. */
  pauseMs: number | null;
}

/** Still disks, all of one point in time; the root disk first. */
export interface StillDisks extends PointInTime {
  disks: readonly StillDisk[];
}

/** Works on the still disks; the guest waits for it if a cold capture could not clone them. */
export type UseStillDisks<T> = (still: StillDisks) => Promise<T>;
