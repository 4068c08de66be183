// Inspects everything and decides how the image is taken; changes nothing.
import { inspectSnapshot } from '../../capture/existing/existing-snapshot.ts';
import { findNvram } from '../../capture/nvram.ts';
import { type CapturePlan, planCapture } from '../../capture/plan.ts';
import { type OnEvent, runStep } from '../../core/events.ts';
import { ignoreRejection } from '../../core/ignore-rejection.ts';
import {
  type DomainFacts,
  type InspectedDisk,
  type Inspection,
  type InspectOptions,
  inspectDomain,
  readDomain,
} from '../../domain/inspect.ts';
import { assertFilesNotReplaced } from '../../domain/layers-open.ts';
import { describeRoot } from '../../domain/root-disk.ts';
import type { SpaceRow } from '../../domain/space.ts';
import { openConfigured } from '../../registry/configured-registry.ts';
import { MAX_NAME } from '../../registry/record/names.ts';
import type { Registry } from '../../registry/registry.ts';
import { requireSealing } from './seal.ts';
import type { SnapshotSession } from './settings.ts';
import type { PlannedDisk, SnapshotPlan } from './snapshot-types.ts';
import { measureNeeds } from './space-needs.ts';

/** Everything that was read and decided before the first act. */
export interface Decision {
  inspection: Inspection;
  capture: CapturePlan;
  registry: Registry;
  imageName: string;
  /** The file that is published as `nvram.fd`; null if none was asked for. */
  nvram: string | null;
  space: SpaceRow[];
}

/**
 * Inspects the domain (`known` has facts that were read before), opens the registry and decides how the image is taken.
 * @throws PublishError for everything that cannot be done, before anything is touched.
 */
export async function decide(session: SnapshotSession, known?: DomainFacts): Promise<Decision> {
  const { settings } = session;
  return runStep(
    settings.onEvent,
    'inspect',
    async () => {
      const opening = openForWriting(settings);
      // Awaited below; if the inspection fails as well, its error is thrown.
      ignoreRejection(opening);
      await requireSealing(settings);
      const requested = await inspectionOptions(session);
      const { inspection, capture } = await inspectSource(session, requested, known);
      const reason = rootReason(settings, inspection);
      if (reason !== null) noteReason(settings.onEvent, reason);
      const nvram = settings.withNvram ? await findNvram(inspection.description) : null;
      const space = await measureNeeds(settings, { inspection, capture, registry: opening });
      const registry = await opening;
      const imageName = settings.name ?? defaultName(inspection.name);
      return { inspection, capture, nvram, registry, imageName, space };
    },
    ({ inspection, capture }) =>
      `${targetsOf(inspection)} of ${inspection.name}, ${capture.mode}: ${capture.modeReason}`,
  );
}

/** Inspects the domain, or its snapshot if one is named. */
async function inspectSource(
  { settings, domain }: SnapshotSession,
  requested: InspectOptions,
  known?: DomainFacts,
): Promise<Pick<Decision, 'inspection' | 'capture'>> {
  const { fromSnapshot: name } = settings;
  if (name === undefined) {
    const inspection = await inspectDomain(domain, requested, known);
    const capture = planCapture(inspection, settings);
    if (capture.mode === 'cold') await assertFilesNotReplaced(inspection);
    return { inspection, capture };
  }
  const facts = await readDomain(domain, requested);
  return inspectSnapshot(
    domain,
    { ...facts, agent: 'none', isWindows: false },
    { ...requested, name },
  );
}

/** Returns the options of an inspection: which disks, and how long to wait. */
export async function inspectionOptions({
  settings,
  host,
}: SnapshotSession): Promise<InspectOptions> {
  const { disks, config, signal, onEvent } = settings;
  const connection = await host.work();
  const libvirtVersion = await connection.getLibVersion();
  const { requestMs: timeoutMs, freezeMs: agentTimeoutMs } = config.timeouts;
  return { disks, connection, libvirtVersion, timeoutMs, agentTimeoutMs, signal, onEvent };
}

/** @throws PublishError REGISTRY if it cannot be reached */
export async function openForWriting({
  registry: url,
  uploadRateMib,
  config,
  signal,
  onEvent,
}: SnapshotSession['settings']): Promise<Registry> {
  const options = { url, s3: config.s3, rateMib: uploadRateMib, onEvent, writes: true };
  const registry = await openConfigured(config, options);
  await registry.checkAccess({ signal });
  return registry;
}

function targetsOf({ disks }: Inspection): string {
  return disks.map(({ disk }) => disk.target).join(', ');
}

/** Returns the decision as the public plan. */
export function describePlan(
  { settings }: SnapshotSession,
  { inspection, capture, nvram, registry, imageName, space }: Decision,
): SnapshotPlan {
  const { name, uuid, state, persistent, autostart, disks } = inspection;
  const [root] = disks;
  return {
    domain: { name, uuid, state, persistent, autostart },
    disk: describeDisk(root),
    rootReason: rootReason(settings, inspection),
    backingChain: root.facts.backingChain,
    disks: disks.map((each) => {
      return { ...describeDisk(each), backingChain: each.facts.backingChain };
    }),
    mode: capture.mode,
    modeReason: capture.modeReason,
    method: capture.method,
    methodReason: capture.methodReason,
    quiesce: capture.quiesce,
    pauses: capture.pauses,
    nvram,
    undefines: capture.undefines,
    detaches: capture.detaches.map(({ address }) => address),
    image: { name: imageName, diskFormat: settings.format, compress: settings.compress },
    sysprep: settings.sysprep,
    registry: registry.url,
    space: space.map(({ device: _, ...row }) => row),
    obstacles: [],
  };
}

function noteReason(onEvent: OnEvent, message: string): void {
  onEvent({ type: 'note', level: 'info', step: 'inspect', message });
}

function rootReason(
  { disks }: SnapshotSession['settings'],
  { description }: Inspection,
): string | null {
  return typeof disks === 'string' ? describeRoot(description.disks) : null;
}

function describeDisk({ disk, facts }: InspectedDisk): PlannedDisk {
  const { target, bus, source, format } = disk;
  return { target, bus, source, format, virtualSize: facts.virtualSize };
}

/**
 * Returns the name of an image that was given none.
 *
 * NOTE: libvirt takes longer names than an image may have, and tabs in them.
 */
export function defaultName(domain: string): string {
  const time = `-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}Z`;
  const shown = domain.replace(/\p{Cc}/gu, ' ').slice(0, MAX_NAME - time.length);
  return shown.replace(/[\ud800-\udbff]$/, '') + time;
}
