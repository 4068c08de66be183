// Computes how much a run writes at most, by directory.
import type { CapturePlan } from '../../capture/plan.ts';
import { needsFullCopy } from '../../domain/chain/backing-chain.ts';
import type { InspectedDisk, Inspection } from '../../domain/inspect.ts';
import {
  measureSpace,
  onSameFileSystem,
  type SpaceNeed,
  type SpaceRow,
} from '../../domain/space.ts';
import { measure } from '../../qemu/qemu-img.ts';
import type { Registry } from '../../registry/registry.ts';
import type { SnapshotSettings } from './settings.ts';

const MIB = 1024 * 1024;
const IMAGE = 'the image';
const SAVE_HEADER = 16 * MIB;
/** Allowance for what a guest writes while the mirror runs. */
const DELTA_SLACK = 64 * MIB;

/** Returns the needs of a run and what is free for them; throws nothing for too little. */
export async function measureNeeds(
  settings: SnapshotSettings,
  {
    inspection,
    capture,
    registry,
  }: { inspection: Inspection; capture: CapturePlan; registry: Promise<Registry> },
): Promise<SpaceRow[]> {
  const { workDir, config } = settings;
  const needs: SpaceNeed[] = [];
  const need = (directory: string, purpose: string, needed: number) =>
    needs.push({ directory, purpose, needed });
  let imageSize = 0;
  for (const each of inspection.disks) {
    const needed = await measureImage(settings, inspection, each);
    need(workDir, purposeOf(IMAGE, inspection, each), needed);
    imageSize += needed;
  }
  if (capture.mode === 'live') {
    for (const each of inspection.disks) {
      need(workDir, purposeOf('the delta', inspection, each), deltaSize(each));
    }
  }
  if (capture.mode === 'cold') {
    const needed = inspection.description.memoryMib * MIB + SAVE_HEADER;
    need(config.managedSaveDir, "the guest's memory", needed);
  }
  const { directory } = await registry;
  // On one file system the image is moved into the registry and takes no more space there.
  if (directory !== null && !(await onSameFileSystem(directory, workDir))) {
    need(directory, 'the published image', imageSize);
  }
  return measureSpace(needs, config.reserve);
}

function purposeOf(
  what: string,
  { disks }: Inspection,
  { disk }: Pick<InspectedDisk, 'disk'>,
): string {
  return disks.length > 1 ? `${what} of ${disk.target}` : what;
}

/** The disk's own layer at most, and the tables of a qcow2. */
function deltaSize({ facts }: InspectedDisk): number {
  if (needsFullCopy(facts)) return facts.virtualSize + tablesOf(facts);
  return Math.min(facts.virtualSize, facts.actualSize + DELTA_SLACK) + tablesOf(facts);
}

/** Bytes of tables a cluster: an L2 entry and a refcount. */
function tablesOf({ virtualSize }: InspectedDisk['facts']): number {
  return Math.ceil(virtualSize / 5000) + MIB;
}

async function measureImage(
  settings: SnapshotSettings,
  { active }: Inspection,
  { disk, facts, snapshot }: InspectedDisk,
): Promise<number> {
  // How much of it is zeros is unknown before it is copied.
  if (facts.outside) return facts.virtualSize + tablesOf(facts);
  const { required } = await measure({
    source: {
      path: disk.source,
      format: disk.format,
      shared: active,
      backingChain: facts.backingChain,
      ...(snapshot ? { snapshot } : {}),
    },
    targetFormat: settings.format,
    timeoutMs: settings.config.timeouts.requestMs,
    signal: settings.signal,
  });
  return required;
}
