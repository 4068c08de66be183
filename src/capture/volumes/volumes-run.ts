// The input of every step of a volume snapshot.
import type { Config } from '../../config/config.ts';
import type { Host } from '../../libvirt/host.ts';
import type { DomainDescription } from '../../libvirt/xml/domain-xml.ts';
import type { Journal } from '../../run/journal/journal.ts';
import type { FreezeRun } from '../quiesce.ts';
import type { VolumePlan } from './volume-plan.ts';

export interface VolumesRun extends FreezeRun {
  timeouts: Pick<Config['timeouts'], 'freezeMs'>;
  host: Host;
  volumes: VolumePlan;
  active: boolean;
  /** True if the domain is off with a managed save: its disks have the state of a running guest. */
  hasManagedSave: boolean;
  description: DomainDescription;
  /** Name of the domain's snapshot, if it uses overlays. */
  mark: string;
  imageId: string;
  /** The run's folder. */
  runPath: string;
  journal: Journal;
  signal: AbortSignal;
}
