// Inspects a domain's volumes and decides what becomes of them; changes nothing.
import { assertQuiescable } from '../../capture/quiesce-policy.ts';
import { type DiskVolume, planVolumes } from '../../capture/volumes/plan-volumes.ts';
import type { VolumePlan } from '../../capture/volumes/volume-plan.ts';
import { PublishError } from '../../core/errors.ts';
import { runStep } from '../../core/events.ts';
import { ignoreRejection } from '../../core/ignore-rejection.ts';
import { OutsideLayer, type ReadOptions, walkChain } from '../../domain/chain/backing-chain.ts';
import { assertDiskIdle, type Inspection, readDomainFacts } from '../../domain/inspect.ts';
import { readOpenFiles } from '../../domain/open-files.ts';
import { describeRoot } from '../../domain/root-disk.ts';
import type { Connection } from '../../libvirt/connection.ts';
import type { Domain } from '../../libvirt/domain.ts';
import type { Volume } from '../../libvirt/storage.ts';
import type { DiskDescription } from '../../libvirt/xml/domain-xml.ts';
import type { Registry } from '../../registry/registry.ts';
import { defaultName, openForWriting } from '../snapshot/decide.ts';
import type { SnapshotSession } from '../snapshot/settings.ts';

export interface VolumeDecision {
  plan: VolumePlan;
  active: boolean;
  description: Inspection['description'];
  agent: Inspection['agent'];
  isWindows: boolean;
  inactiveXml: string;
  hasManagedSave: boolean;
  registry: Registry;
}

/** @throws PublishError for everything that cannot be done, before anything is touched. */
export async function decideVolumes(
  { settings, host, domain }: SnapshotSession,
  runId: string,
): Promise<VolumeDecision> {
  const { quiesce, config, onEvent, signal } = settings;
  return runStep(onEvent, 'inspect', async () => {
    const opening = openForWriting(settings);
    // Awaited below; if the inspection fails as well, its error is thrown.
    ignoreRejection(opening);
    const connection = await host.work();
    const timeoutMs = config.timeouts.requestMs;
    const facts = await readDomainFacts(domain, {
      connection,
      libvirtVersion: await connection.getLibVersion(),
      agentTimeoutMs: config.timeouts.freezeMs,
      timeoutMs,
      signal,
    });
    const { state, active, persistent, description, inactiveXml, agent, hasManagedSave } = facts;
    const disks = await readVolumes(connection, domain, description.disks, active);
    const { name, uuid } = domain;
    const planned = planVolumes({ name, active, disks }, markOf(runId));
    const opened = active ? await readOpenFiles(domain, onEvent) : null;
    for (const { disk } of disks) {
      await assertSameLayers(disk, { shared: active, opened, timeoutMs, signal });
    }
    const message = describeRoot(description.disks);
    if (message !== null) onEvent({ type: 'note', level: 'info', step: 'inspect', message });
    if (active) assertQuiescable({ name, agent, state }, 'live', quiesce);
    const registry = await opening;
    const plan: VolumePlan = {
      domain: { name, uuid, state, persistent },
      ...{ ...planned, quiesce, registry: registry.url, obstacles: [] },
      image: { name: settings.name ?? defaultName(name) },
    };
    const { isWindows } = facts;
    return { plan, active, description, agent, isWindows, inactiveXml, hasManagedSave, registry };
  });
}

/**
 * An image names only the volume, and a disk made of that reads the layers that its header names:
 * these must be the ones that the guest reads.
 * @throws PublishError DISK_UNSUPPORTED, QEMU_IMG
 */
async function assertSameLayers(disk: DiskDescription, options: ReadOptions): Promise<void> {
  const { target, source, format } = disk;
  if (source === null) return;
  const local = { ...disk, source, format: format ?? 'raw' };
  try {
    for await (const { path, headerAgrees } of walkChain(local, options)) {
      if (headerAgrees) continue;
      throw new PublishError(
        'DISK_UNSUPPORTED',
        `disk ${target} reads other layers below ${path} than its header names, since the domain's XML says so (backingStore), and a volume snapshot would be read by its header`,
        { step: 'inspect', hint: 'publish the disk with `virt-publish snapshot`' },
      );
    }
  } catch (error) {
    if (!(error instanceof OutsideLayer && options.shared)) throw error;
  }
}

/** Part of the name of every volume and snapshot that a run makes. */
export function markOf(runId: string): string {
  return `vp-${runId.slice(0, 8)}`;
}

async function readVolumes(
  { storage }: Connection,
  domain: Domain,
  disks: readonly DiskDescription[],
  active: boolean,
): Promise<DiskVolume[]> {
  const taken: DiskVolume[] = [];
  for (const disk of disks) {
    if (disk.device !== 'disk') continue;
    await assertDiskIdle(domain, disk, active);
    const lookUp = (): Promise<Volume | undefined> => {
      if (disk.volume) return storage.volumeByName(disk.volume.pool, disk.volume.volume);
      return disk.source === null ? Promise.resolve(undefined) : storage.volumeByPath(disk.source);
    };
    taken.push({ disk, volume: await lookUp() });
  }
  return taken;
}
