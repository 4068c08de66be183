// How much a run writes at most, and where.
import type { Inspection } from '../capture/inspect.ts';
import type { CapturePlan } from '../capture/plan.ts';
import { measureSpace, onSameFileSystem, type SpaceNeed, type SpaceRow } from '../capture/space.ts';
import { measure } from '../flatten/qemu-img.ts';
import type { Registry } from '../registry/registry.ts';
import type { SnapshotSettings } from './settings.ts';

const MIB = 1024 * 1024;
const IMAGE = 'the image';
const SAVE_HEADER = 16 * MIB;
/** What a guest may newly write while the mirror runs, before the reserve is asked for. */
const DELTA_SLACK = 64 * MIB;

/** The needs of a run and what is free for them; nothing is refused yet. */
export async function measureNeeds(
  settings: SnapshotSettings,
  {
    inspection,
    capture,
    registry,
  }: { inspection: Inspection; capture: CapturePlan; registry: Registry },
): Promise<SpaceRow[]> {
  const { workDir, config } = settings;
  const imageSize = await measureImage(settings, inspection);
  const needs: SpaceNeed[] = [{ directory: workDir, purpose: IMAGE, needed: imageSize }];
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

/** What the image will have at most, unless the guest writes much meanwhile. */
export function expectedImageBytes(space: readonly SpaceRow[]): number {
  return space.find(({ purpose }) => purpose === IMAGE)?.needed ?? 0;
}

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
