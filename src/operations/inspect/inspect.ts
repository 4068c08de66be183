// A domain on one page: how it would be taken, and every obstacle; touches nothing.
import { type Config, loadConfig } from '../../config/config.ts';
import { PublishError } from '../../core/errors.ts';
import { ignoreEvents } from '../../core/events.ts';
import { readDomainFacts } from '../../domain/inspect.ts';
import { readOpenFiles } from '../../domain/open-files.ts';
import { withSession } from '../../domain/session.ts';
import { decide, describePlan, inspectionOptions } from '../snapshot/decide.ts';
import { foresee } from '../snapshot/foresee.ts';
import type { SnapshotSession } from '../snapshot/settings.ts';
import { decideSettings } from '../snapshot/settings.ts';
import { reportDisk } from './disk-report.ts';
import type { DiskReport, DomainReport, InspectDomainOptions, Obstacle } from './inspect-types.ts';
import { reportSnapshot } from './snapshot-report.ts';

type Facts = Awaited<ReturnType<typeof readDomainFacts>>;

/**
 * Inspects a domain and all its disks. What a snapshot would fail with is in the report.
 * @throws PublishError DOMAIN_NOT_FOUND, LIBVIRT, CONFIG
 */
export async function inspect(
  options: InspectDomainOptions,
  config?: Config,
): Promise<DomainReport> {
  const all = decideSettings({ ...options, onEvent: ignoreEvents }, config ?? (await loadConfig()));
  return withSession(all, async (session) => {
    const { domain } = session;
    const facts = await readDomainFacts(domain, await inspectionOptions(session));
    const { disks, obstacles } = await reportDisks(session, facts);
    const planned = await planOf(session, facts);
    const known = new Set(obstacles.map(({ message }) => message));
    return {
      domain: describe(facts),
      disks,
      snapshots: (await domain.listSnapshots()).map(({ xml }) => reportSnapshot(xml)),
      checkpoints: (await domain.listCheckpoints()).map(({ name }) => name),
      hostDevices: facts.description.hostdevs.map(({ kind, address }) => ({ kind, address })),
      plan: planned.plan,
      obstacles: [...obstacles, ...planned.obstacles.filter(({ message }) => !known.has(message))],
    };
  });
}

function describe(facts: Facts): DomainReport['domain'] {
  const { name, uuid, state, persistent, autostart, agent, hasManagedSave, description } = facts;
  const { type, arch, machine, memoryMib, vcpus, firmware, secureBoot, nvram, tpm } = description;
  return {
    ...{ name, uuid, state, persistent, autostart, type, arch, machine, memoryMib, vcpus },
    ...{ firmware, secureBoot, nvram, tpm, agent, managedSave: hasManagedSave },
  };
}

async function reportDisks(
  { settings, domain }: SnapshotSession,
  facts: Facts,
): Promise<{ disks: DiskReport[]; obstacles: Obstacle[] }> {
  const { mode, method, quiesce, config, signal } = settings;
  const requested = { mode, method, quiesce };
  const timeoutMs = config.timeouts.requestMs;
  const opened = facts.active ? await readOpenFiles(facts) : null;
  const disks: DiskReport[] = [];
  const obstacles: Obstacle[] = [];
  for (const disk of facts.description.disks) {
    const found = await reportDisk(domain, facts, disk, { requested, opened, timeoutMs, signal });
    disks.push(found.report);
    // Drives for removable media are no part of the image, so they are no obstacle.
    if (disk.device === 'disk' || disk.device === 'lun') obstacles.push(...found.obstacles);
  }
  return { disks, obstacles };
}

/** Returns what a snapshot without flags would do, or would fail with. */
async function planOf(
  session: SnapshotSession,
  facts: Facts,
): Promise<{ plan: DomainReport['plan']; obstacles: Obstacle[] }> {
  const obstacles: Obstacle[] = [];
  let plan: DomainReport['plan'] = null;
  try {
    const decision = await decide(session, facts);
    plan = { ...describePlan(session, decision), obstacles: await foresee(session, decision) };
    obstacles.push(...plan.obstacles.map((obstacle) => ({ target: null, ...obstacle })));
  } catch (error) {
    if (!(error instanceof PublishError) || error.code === 'INTERRUPTED') throw error;
    const { code, message, hint } = error;
    obstacles.push({ target: null, code, message, hint });
  }
  return { plan, obstacles };
}
