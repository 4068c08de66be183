// What a run and its dry run have in common: look at everything, decide, and change nothing.

import { type Inspection, inspectDomain } from '../capture/inspect.ts';
import type { CapturePlan } from '../capture/plan.ts';
import { planCapture } from '../capture/plan.ts';
import {
  measureSpace,
  onSameFileSystem,
  refuseTooLittleSpace,
  type SpaceNeed,
} from '../capture/space.ts';
import { runStep } from '../events.ts';
import { measure } from '../flatten/qemu-img.ts';
import { type Domain, findDomain } from '../libvirt/domain.ts';
import { Host } from '../libvirt/host.ts';
import { openRegistry, type Registry } from '../registry/registry.ts';
import type { SnapshotPlan } from '../snapshot-types.ts';
import type { SnapshotSettings } from './settings.ts';

/** A libvirt and a domain of it. */
export interface Session {
  settings: SnapshotSettings;
  host: Host;
  domain: Domain;
}

/** All that was learned and decided before the first act. */
export interface Decision {
  inspection: Inspection;
  capture: CapturePlan;
  registry: Registry;
  imageName: string;
  /** Bytes of the flat image at most. */
  imageSize: number;
}

/** `work` gets a session that is closed when it settles. @throws LIBVIRT, DOMAIN_NOT_FOUND, CONFIG */
export async function withSession<T>(
  settings: SnapshotSettings,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const { libvirtMs, managedSaveMs } = settings.config.timeouts;
  const host = new Host(settings.connect, {
    workMs: managedSaveMs + libvirtMs,
    controlMs: libvirtMs,
  });
  try {
    const domain = await findDomain(await host.work(), settings.domain);
    return await work({ settings, host, domain });
  } finally {
    await host.close();
  }
}

/**
 * Inspects the domain, opens the registry and decides how the image is taken.
 * @throws PublishError for everything that cannot be done, before anything is touched.
 */
export async function decide({ settings, domain }: Session): Promise<Decision> {
  const { config, signal, onEvent } = settings;
  return runStep(
    onEvent,
    'inspect',
    async () => {
      const inspection = await inspectDomain(domain, {
        disk: settings.disk,
        timeoutMs: config.timeouts.requestMs,
        agentTimeoutMs: config.timeouts.freezeMs,
        signal,
      });
      const capture = planCapture(inspection, settings);
      const registry = await openRegistry(settings.registry, {
        s3: config.s3,
        upload: { ...config.upload, partMs: config.timeouts.partMs },
        requestTimeoutMs: config.timeouts.requestMs,
      });
      await registry.checkAccess({ signal });
      return {
        inspection,
        capture,
        registry,
        imageName: settings.name ?? defaultName(inspection.name),
        imageSize: await measureImage(settings, inspection),
      };
    },
    ({ inspection, capture }) =>
      `${inspection.disk.target} of ${inspection.name}, ${capture.mode}: ${capture.modeReason}`,
  );
}

/** @throws PublishError NO_SPACE */
export async function checkSpace(session: Session, decision: Decision): Promise<void> {
  await runStep(session.settings.onEvent, 'space', async () => {
    refuseTooLittleSpace(await measureNeeds(session.settings, decision));
  });
}

/** The decision as it is shown to people and callers. */
export async function describePlan(
  { settings }: Session,
  decision: Decision,
): Promise<SnapshotPlan> {
  const { inspection, capture, registry, imageName } = decision;
  const { name, uuid, state, persistent, autostart, disk, facts } = inspection;
  const space = await measureNeeds(settings, decision);
  return {
    domain: { name, uuid, state, persistent, autostart },
    disk: {
      target: disk.target,
      bus: disk.bus,
      source: disk.source,
      format: disk.format,
      virtualSize: facts.virtualSize,
    },
    backingChain: facts.backingChain,
    mode: capture.mode,
    modeReason: capture.modeReason,
    method: capture.method,
    methodReason: capture.methodReason,
    quiesce: capture.quiesce,
    undefines: capture.undefines,
    detaches: capture.detaches.map(({ address }) => address),
    image: { name: imageName, diskFormat: settings.format, compress: settings.compress },
    registry: registry.url,
    space: space.map(({ device: _, ...row }) => row),
  };
}

async function measureNeeds(
  settings: SnapshotSettings,
  { inspection, capture, imageSize, registry }: Decision,
) {
  const { workDir, config } = settings;
  const needs: SpaceNeed[] = [{ directory: workDir, purpose: 'the image', needed: imageSize }];
  if (capture.mode === 'live') {
    needs.push({ directory: workDir, purpose: 'the delta', needed: deltaSize(inspection) });
  }
  if (capture.mode === 'cold') {
    const needed = inspection.description.memoryMib * MIB + SAVE_HEADER;
    needs.push({ directory: config.managedSaveDir, purpose: "the guest's memory", needed });
  }
  const { directory } = registry;
  // On one file system the image is moved into the registry and takes no more space there.
  if (directory !== null && !(await onSameFileSystem(directory, workDir))) {
    needs.push({ directory, purpose: 'the published image', needed: imageSize });
  }
  return measureSpace(needs, config.reserve);
}

const MIB = 1024 * 1024;
const SAVE_HEADER = 16 * MIB;
/** What a guest may newly write while the mirror runs, before the reserve is asked for. */
const DELTA_SLACK = 64 * MIB;

/** The disk's own layer at most, and the tables of a qcow2: an L2 entry and a refcount a cluster. */
function deltaSize({ facts }: Inspection): number {
  const tables = Math.ceil(facts.virtualSize / 5000);
  return Math.min(facts.virtualSize, facts.actualSize + DELTA_SLACK) + tables;
}

async function measureImage(settings: SnapshotSettings, inspection: Inspection): Promise<number> {
  const { disk, active, facts } = inspection;
  const { required } = await measure({
    source: {
      path: disk.source,
      format: disk.format,
      shared: active,
      backingChain: facts.backingChain,
    },
    targetFormat: settings.format,
    timeoutMs: settings.config.timeouts.requestMs,
    signal: settings.signal,
  });
  return required;
}

function defaultName(domain: string): string {
  return `${domain}-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}Z`;
}
