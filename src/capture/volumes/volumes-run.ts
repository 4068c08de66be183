// What each step of a volume snapshot gets.
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
  /** Of a domain that is off: its disks are as a running guest left them. */
  hasManagedSave: boolean;
  description: DomainDescription;
  /** Name of the domain's snapshot, where it goes on in overlays. */
  mark: string;
  imageId: string;
  /** The run's folder. */
  runPath: string;
  journal: Journal;
  signal: AbortSignal;
}
