// The layers below a disk's source, each with a format that is known and not guessed.
import { PublishError } from '../errors.ts';
import { info, type QemuImgInfo } from '../flatten/qemu-img.ts';
import { shellQuote } from '../run/shell-quote.ts';
import type { LocalDisk } from './choose-disk.ts';

/** One file or block device of a chain; the path is absolute. */
export interface Layer {
  path: string;
  format: string;
}

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
}

export interface ReadOptions {
  /** The domain runs: its files are locked by QEMU and read all the same. */
  shared: boolean;
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
}

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
  const [top, ...below] = layers;
  if (!top) refuse(disk, 'has no layer');
  const { virtualSize, actualSize } = top;
  if (outside) return { virtualSize, actualSize: virtualSize, backingChain: [], outside };
  const backingChain = below.map(({ path, format }) => ({ path, format }));
  return { virtualSize, actualSize, backingChain, outside };
}

/** A layer that is there for QEMU, and not for others of this host. */
export class OutsideLayer extends PublishError {}

/**
 * The layers of a disk, the active one first. The first layer below a running disk comes from the
 * live XML (what QEMU has open), all the others from the files' own headers.
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
  if (disk.remote !== null) refuse(disk, `is on ${disk.remote.label}, outside this host`);
  const source: Layer = { path: disk.source, format: disk.format };
  const top = await info({ ...source, ...options });
  if (top.dataFile !== null) refuse(disk, `keeps its data in another file (${top.dataFile})`);
  yield layerFacts(source, top);
  let next = firstLayer(disk) ?? backingOf(disk, disk.source, top);
  while (next) {
    const facts = await info({ ...next, ...options });
    yield layerFacts(next, facts);
    next = backingOf(disk, next.path, facts);
  }
}

function layerFacts({ path, format }: Layer, facts: QemuImgInfo): LayerFacts {
  const { virtualSize, actualSize, snapshots } = facts;
  return { path, format, virtualSize, actualSize, snapshots: snapshots.map(({ name }) => name) };
}

function firstLayer(disk: LocalDisk): Layer | undefined {
  const layer = disk.backingChain[0];
  if (!layer) return undefined;
  if (layer.encrypted) refuse(disk, 'has an encrypted backing file');
  if (!layer.path || !layer.format) {
    outsideLayer(disk, `has a backing file of type ${layer.type}, which is not on this host`);
  }
  return { path: layer.path, format: layer.format };
}

function backingOf(disk: LocalDisk, path: string, facts: QemuImgInfo): Layer | undefined {
  if (facts.backingFile === null) return undefined;
  if (facts.fullBackingFile === null || !facts.fullBackingFile.startsWith('/')) {
    outsideLayer(disk, `has a backing file that is no local path (${facts.backingFile})`);
  }
  if (facts.backingFormat === null) {
    refuse(
      disk,
      `has a layer without a recorded backing format; record it with: qemu-img rebase -u -b ${shellQuote(facts.backingFile)} -F FORMAT ${shellQuote(path)}`,
    );
  }
  return { path: facts.fullBackingFile, format: facts.backingFormat };
}

function outsideLayer(disk: LocalDisk, obstacle: string): never {
  const message = `disk ${disk.target} ${obstacle}; start the domain, and take it live`;
  throw new OutsideLayer('DISK_UNSUPPORTED', message, { step: 'inspect' });
}

function refuse(disk: LocalDisk, obstacle: string): never {
  throw new PublishError('DISK_UNSUPPORTED', `disk ${disk.target} ${obstacle}`, {
    step: 'inspect',
  });
}
