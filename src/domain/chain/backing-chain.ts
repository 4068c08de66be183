// The layers of a disk, as libvirt gives them to QEMU, each with a format that is known and not guessed.
import { PublishError } from '../../core/errors.ts';
import type { ChainLayer } from '../../core/model.ts';
import { inTime } from '../../core/time-limit.ts';
import { info, type QemuImgInfo } from '../../qemu/qemu-img.ts';
import type { LocalDisk } from '../choose-disk.ts';
import { headerAgrees, type Layer, layerBelow, OutsideLayer, refuseLayer } from './layer-below.ts';
import { type LayerMark, markLayer } from './layer-mark.ts';

export { type Layer, OutsideLayer } from './layer-below.ts';

export interface DiskFacts {
  /** Bytes the guest sees. */
  virtualSize: number;
  /** Bytes the disk's own layer takes on the host. */
  actualSize: number;
  /** Layers below the disk, nearest first; not told where it is `outside`. */
  backingChain: Layer[];
  /**
   * It, or a layer below it, is in no file or block device of this host. So nothing can share its
   * layers, and only a full copy has all of it.
   */
  outside: boolean;
  /**
   * The header of a layer below the disk names other layers than the XML. A delta would be opened
   * with those that the header names, so only a full copy has all of the disk.
   */
  headersDiffer: boolean;
  /** Of the disk and of each layer below it; empty where it is `outside`. */
  marks: readonly LayerMark[];
}

export interface ReadOptions {
  /** The domain runs: its files are locked by QEMU and read all the same. */
  shared: boolean;
  /** Identities of all files that the domain's QEMU has open; null if they cannot be read. */
  opened: ReadonlySet<string> | null;
  timeoutMs: number;
  signal: AbortSignal;
}

/** A layer with what its header says. */
export interface LayerFacts extends Layer {
  virtualSize: number;
  /** Bytes it takes on the host. */
  actualSize: number;
  /** Names of the internal snapshots in it. */
  snapshots: string[];
  mark: LayerMark;
  /** Whether the header names the very layer that comes next. */
  headerAgrees: boolean;
}

/** libvirt's own limit. */
const MAX_LAYERS = 200;

/**
 * Of a disk whose own layer is on this host. A layer further down that is not is no obstacle where
 * the domain runs (`shared`): its QEMU reads it.
 * @throws PublishError DISK_UNSUPPORTED, QEMU_IMG
 */
export async function readDiskFacts(disk: LocalDisk, options: ReadOptions): Promise<DiskFacts> {
  const layers: LayerFacts[] = [];
  let outside = false;
  try {
    for await (const layer of walkChain(disk, options)) layers.push(layer);
  } catch (error) {
    if (!(error instanceof OutsideLayer && options.shared)) throw error;
    outside = true;
  }
  const [top] = layers;
  if (!top) refuseLayer(disk, 'has no layer');
  return factsOf([top, ...layers.slice(1)], outside);
}

/** @param outside whether a layer below these is in no file or block device of this host. */
export function factsOf(
  [top, ...below]: readonly [LayerFacts, ...LayerFacts[]],
  outside: boolean,
): DiskFacts {
  const { virtualSize, actualSize } = top;
  if (outside) return { ...outsideFacts(virtualSize) };
  return {
    ...{ virtualSize, actualSize, outside },
    backingChain: below.map(({ path, format }) => ({ path, format })),
    headersDiffer: below.some((layer) => !layer.headerAgrees),
    marks: [top, ...below].map(({ mark }) => mark),
  };
}

/** What people are shown of a layer. */
export function reportLayer(layer: LayerFacts): ChainLayer {
  const { path, format, virtualSize, actualSize, snapshots } = layer;
  return { path, format, virtualSize, actualSize, snapshots };
}

/** Of a disk that is not all on this host. */
export function outsideFacts(virtualSize: number): DiskFacts {
  const nothingTold = { backingChain: [], headersDiffer: false, marks: [] };
  return { virtualSize, actualSize: virtualSize, outside: true, ...nothingTold };
}

/** Whether a delta has to hold all of the disk, because QEMU would open other layers below it. */
export function needsFullCopy({ outside, headersDiffer }: DiskFacts): boolean {
  return outside || headersDiffer;
}

/**
 * The layers of a disk, the active one first: those of the XML to their end; headers count from the
 * layer on that the XML tells nothing of.
 *
 * NOTE: a layer without a recorded backing format is refused, as libvirt itself does: whoever
 * opens it must guess, and a guest that writes a qcow2 header into a raw disk makes that guess
 * name any file of the host (CVE-2015-7548).
 * @throws PublishError DISK_UNSUPPORTED, QEMU_IMG where it cannot be walked on; what was told holds.
 */
export async function* walkChain(
  disk: LocalDisk,
  options: ReadOptions,
): AsyncGenerator<LayerFacts, void> {
  if (disk.remote !== null) refuseLayer(disk, `is on ${disk.remote.label}, outside this host`);
  const seen = new Set<string>();
  let layer: Layer | undefined = { path: disk.source, format: disk.format };
  for (let depth = 0; layer !== undefined; depth += 1) {
    if (depth >= MAX_LAYERS) refuseLayer(disk, `has more than ${MAX_LAYERS} layers`);
    const mark = await lookAt(disk, layer, options);
    if (seen.has(mark.identity)) refuseLayer(disk, `has ${layer.path} below itself in its chain`);
    seen.add(mark.identity);
    const facts = await info({ ...layer, ...options });
    assertReadable(disk, layer, facts);
    const at = { disk, depth, ...layer, facts };
    const agrees = await headerAgrees(at);
    yield { ...describe(layer, facts), mark, headerAgrees: agrees };
    layer = layerBelow(at);
  }
}

/** NOTE: never a FIFO or a device of another kind, whose opening alone may wait for ever. */
async function lookAt(disk: LocalDisk, layer: Layer, options: ReadOptions): Promise<LayerMark> {
  const { path } = layer;
  const mark = await inTime({ ...options, late: () => lateLook(path) }, () =>
    // What is wrong with a file, qemu-img says with its name and the cure.
    markLayer(path).catch(async (error: unknown) => {
      await info({ ...layer, ...options });
      throw error;
    }),
  );
  if (mark.kind === 'other') {
    refuseLayer(disk, `has ${path} as a layer, which is neither a file nor a block device`);
  }
  if (options.opened && !options.opened.has(mark.identity)) {
    refuseLayer(
      disk,
      `is given ${path} by libvirt, and its QEMU has another file open: that name was given to a new file while the guest ran; give the old file its name back, or shut the guest down and start it on the new one`,
    );
  }
  return mark;
}

function lateLook(path: string): PublishError {
  const message = `looking at ${path} took longer than its deadline: see whether the storage hangs`;
  return new PublishError('QEMU_IMG', message, { step: 'inspect' });
}

function assertReadable(disk: LocalDisk, { path }: Layer, facts: QemuImgInfo): void {
  const { dataFile, encrypted } = facts;
  if (dataFile !== null) {
    refuseLayer(disk, `has a layer (${path}) that keeps its data in another file (${dataFile})`);
  }
  if (encrypted) refuseLayer(disk, `has an encrypted layer (${path})`);
}

function describe({ path, format }: Layer, facts: QemuImgInfo) {
  const { virtualSize, actualSize, snapshots } = facts;
  return { path, format, virtualSize, actualSize, snapshots: snapshots.map(({ name }) => name) };
}
