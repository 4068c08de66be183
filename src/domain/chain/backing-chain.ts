// Reads the layers of a disk that libvirt gives to QEMU; the format of each is recorded, never guessed.
import { PublishError } from '../../core/errors.ts';
import type { ChainLayer } from '../../core/model.ts';
import { inTime } from '../../core/time-limit.ts';
import { info, type QemuImgInfo } from '../../qemu/qemu-img.ts';
import type { LocalDisk } from '../choose-disk.ts';
import { failLayer, headerAgrees, type Layer, layerBelow, OutsideLayer } from './layer-below.ts';
import { type LayerMark, markLayer } from './layer-mark.ts';

export { type Layer, OutsideLayer } from './layer-below.ts';

export interface DiskFacts {
  /** Bytes the guest sees. */
  virtualSize: number;
  /** Bytes the disk's own layer takes on the host. */
  actualSize: number;
  /** Layers below the disk, nearest first; empty if it is `outside`. */
  backingChain: Layer[];
  /**
   * The disk, or a layer below it, is not in a file or block device of this host. So a delta cannot
   * share its layers, and has to be a full copy.
   */
  outside: boolean;
  /**
   * The header of a layer below the disk names other layers than the XML. QEMU would open a delta with
   * the layers of the header, so the delta has to be a full copy.
   */
  headersDiffer: boolean;
  /** Marks of the disk and of each layer below it; empty if it is `outside`. */
  marks: readonly LayerMark[];
}

export interface ReadOptions {
  /** The domain runs: its files are read although QEMU has locked them. */
  shared: boolean;
  /** Identities of all files that the domain's QEMU has open; null if they cannot be read. */
  opened: ReadonlySet<string> | null;
  timeoutMs: number;
  signal: AbortSignal;
}

/** A layer with the facts of its header. */
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
 * Reads the facts of a disk whose active layer is on this host. A layer below that is outside this host
 * is no obstacle if the domain runs (`shared`): its QEMU reads it.
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
  if (!top) failLayer(disk, 'has no layer');
  return factsOf([top, ...layers.slice(1)], outside);
}

/** @param outside whether a layer below these is not in a file or block device of this host */
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

/** Returns the public facts of a layer. */
export function reportLayer(layer: LayerFacts): ChainLayer {
  const { path, format, virtualSize, actualSize, snapshots } = layer;
  return { path, format, virtualSize, actualSize, snapshots };
}

/** Returns the facts of a disk that is not completely on this host. */
export function outsideFacts(virtualSize: number): DiskFacts {
  const noLayers = { backingChain: [], headersDiffer: false, marks: [] };
  return { virtualSize, actualSize: virtualSize, outside: true, ...noLayers };
}

/** Whether a delta has to be a full copy, because QEMU would open other layers below it. */
export function needsFullCopy({ outside, headersDiffer }: DiskFacts): boolean {
  return outside || headersDiffer;
}

/**
 * Yields the layers of a disk, the active one first: those of the XML; below the last layer of the XML,
 * those that the headers name.
 *
 * NOTE: a layer without a recorded backing format is rejected, like in libvirt: its reader would
 * have to guess. A guest that writes a qcow2 header into a raw disk could make that guess name any
 * file of the host (CVE-2015-7548).
 * @throws PublishError DISK_UNSUPPORTED, QEMU_IMG if the walk cannot continue; yielded layers are valid
 */
export async function* walkChain(
  disk: LocalDisk,
  options: ReadOptions,
): AsyncGenerator<LayerFacts, void> {
  if (disk.remote !== null) failLayer(disk, `is on ${disk.remote.label}, outside this host`);
  const seen = new Set<string>();
  let layer: Layer | undefined = { path: disk.source, format: disk.format };
  for (let depth = 0; layer !== undefined; depth += 1) {
    if (depth >= MAX_LAYERS) failLayer(disk, `has more than ${MAX_LAYERS} layers`);
    const mark = await lookAt(disk, layer, options);
    if (seen.has(mark.identity)) failLayer(disk, `has ${layer.path} below itself in its chain`);
    seen.add(mark.identity);
    const facts = await info({ ...layer, ...options });
    assertReadable(disk, layer, facts);
    const at = { disk, depth, ...layer, facts };
    const agrees = await headerAgrees(at);
    yield { ...describe(layer, facts), mark, headerAgrees: agrees };
    layer = layerBelow(at);
  }
}

/** NOTE: rejects a FIFO or another kind of device, whose open alone may wait forever. */
async function lookAt(disk: LocalDisk, layer: Layer, options: ReadOptions): Promise<LayerMark> {
  const { path } = layer;
  const mark = await inTime({ ...options, late: () => lateLook(path) }, () =>
    // qemu-img reports what is wrong with a file, with its name and a hint.
    markLayer(path).catch(async (error: unknown) => {
      await info({ ...layer, ...options });
      throw error;
    }),
  );
  if (mark.kind === 'other') {
    failLayer(disk, `has ${path} as a layer, which is neither a file nor a block device`);
  }
  if (options.opened && !options.opened.has(mark.identity)) {
    failLayer(
      disk,
      `has ${path} in libvirt, but its QEMU has another file open: the file was replaced while the guest ran`,
      'rename the old file back, or shut the guest down and start it on the new one',
    );
  }
  return mark;
}

function lateLook(path: string): PublishError {
  return new PublishError('QEMU_IMG', `reading ${path} took longer than its deadline`, {
    step: 'inspect',
    hint: 'check whether its storage hangs, then run it again',
  });
}

function assertReadable(disk: LocalDisk, { path }: Layer, facts: QemuImgInfo): void {
  const { dataFile, encrypted } = facts;
  if (dataFile !== null) {
    failLayer(disk, `has a layer (${path}) that keeps its data in another file (${dataFile})`);
  }
  if (encrypted) failLayer(disk, `has an encrypted layer (${path})`);
}

function describe({ path, format }: Layer, facts: QemuImgInfo) {
  const { virtualSize, actualSize, snapshots } = facts;
  return { path, format, virtualSize, actualSize, snapshots: snapshots.map(({ name }) => name) };
}
