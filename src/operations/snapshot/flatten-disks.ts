// Makes flat images of still disks: files, or plans by which the layers are read during the upload.
import { join } from 'node:path';
import type { PointInTime, StillDisk, StillDisks } from '../../capture/capture-run.ts';
import { detailOf, type InspectedDisk } from '../../domain/inspect.ts';
import { removeScratch } from '../../host/files/scratch-file.ts';
import { type Flattened, type FlattenRequest, flattenOrPlan } from '../../image/flatten.ts';
import type { PlannedImage } from '../../image/plan/plan-image.ts';
import type { SourceImage } from '../../qemu/qemu-img.ts';
import { digestAlgorithms } from '../../transfer/digests/digests.ts';
import type { Decision } from './decide.ts';
import type { SnapshotSession } from './settings.ts';
import { readUnchanged } from './unchanged-layers.ts';

/** A still disk, and its flat image: a file, or a plan. */
export type FlattenedDisk = InspectedDisk &
  Flattened & {
    /** The image file; for an image that is streamed, the captured file. */
    path: string;
    /** Whether `path` is a file of the run, which may be removed; else it is the guest's own. */
    isScratch: boolean;
    /** Format of the captured file. */
    format: string;
    /** The plan of an image that is streamed; undefined if it was written to a file. */
    streamed: PlannedImage | undefined;
  };

/** All disks of an image at one point in time, the root disk first. */
export interface FlatDisks extends PointInTime {
  /** The disks with their images. */
  folder: string;
  disks: readonly FlattenedDisk[];
}

/** Flattens the still disks, one after the other, into files in `folder`, or plans their streams. */
export async function flattenDisks(
  session: SnapshotSession,
  decision: Decision,
  { still, folder }: { still: StillDisks; folder: string },
): Promise<FlatDisks> {
  const { disks, ...moment } = still;
  const flat: FlattenedDisk[] = [];
  for (const disk of disks) {
    const path = join(folder, dataName(session, disk));
    flat.push(await flattenDisk(session, decision, { still: disk, path }));
  }
  return { ...moment, folder, disks: flat };
}

/**
 * Flattens the still disk into `path`, or plans its stream. A delta or a clone that was written to
 * `path` is removed; one that is streamed stays until the upload ends.
 */
async function flattenDisk(
  session: SnapshotSession,
  decision: Decision,
  { still, path }: { still: StillDisk; path: string },
): Promise<FlattenedDisk> {
  const { settings } = session;
  const { disk, facts, format } = still;
  const isRoot = disk === decision.inspection.disks[0].disk;
  const request: FlattenRequest = {
    ...flattenRequest(session, decision, { disk, path }),
    source: sourceOf(still),
    virtualSize: facts.virtualSize,
    compress: settings.compress,
    isScratch: still.isScratch,
    algorithms: digestAlgorithms(isRoot ? settings.hash : []),
    // NOTE: a clone shares its blocks with the guest's disk. If the image kept them, each write of
    // the guest would take a new block, and its file system could run full.
    sharesBlocks: decision.capture.mode === 'live',
  };
  const { timeouts } = settings.config;
  const reading = {
    ...{ onEvent: settings.onEvent, signal: settings.signal, timeoutMs: timeouts.requestMs },
    wasWritten: decision.capture.mode === 'cold',
  };
  const image = await readUnchanged(still, reading, () =>
    flattenOrPlan(request, needsFile(session, decision)),
  );
  if ('streamed' in image) {
    const { streamed } = image;
    const captured = { path: still.path, isScratch: still.isScratch, format };
    return { disk, facts, ...captured, direct: true, streamed };
  }
  if (still.isScratch) await removeScratch(still);
  const written = { path, isScratch: true, format };
  return { disk, facts, ...written, ...image.written, streamed: undefined };
}

/** A directory registry, and virt-sysprep, need a file. */
function needsFile({ settings }: SnapshotSession, { registry }: Decision): boolean {
  return registry.directory !== null || settings.sysprep !== null;
}

/** A delta or a clone is a file; so is a disk that is read itself, unless it is remote. */
function sourceOf({ path, format, isScratch, disk, facts, snapshot }: StillDisk): SourceImage {
  const node = isScratch ? null : (disk.remote?.node ?? null);
  const { backingChain } = facts;
  return {
    ...{ path, format, backingChain },
    ...(node === null ? {} : { node }),
    // Its guest may write to the file, or be started, meanwhile.
    ...(snapshot ? { snapshot, shared: true } : {}),
  };
}

/** Returns the name of the disk's object in the registry. */
export function dataName(
  { settings }: SnapshotSession,
  { disk }: Pick<InspectedDisk, 'disk'>,
): string {
  return `${disk.target}.${settings.format}`;
}

/** Returns the part of a request that writing and checking of an image share. */
export function flattenRequest(
  { settings }: SnapshotSession,
  { inspection }: Decision,
  { disk, path }: Pick<FlattenedDisk, 'disk' | 'path'>,
): Pick<FlattenRequest, 'target' | 'detail' | 'timeouts' | 'onEvent' | 'signal'> {
  const { format, config, onEvent, signal } = settings;
  const detail = detailOf(inspection, disk);
  return { target: { path, format }, detail, timeouts: config.timeouts, onEvent, signal };
}
