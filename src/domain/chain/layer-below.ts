// Which layer comes below another one: the one that the XML tells, and the header's only where that is silent.
import { PublishError } from '../../core/errors.ts';
import { shellQuote } from '../../core/shell-quote.ts';
import type { QemuImgInfo } from '../../qemu/qemu-img.ts';
import type { LocalDisk } from '../choose-disk.ts';
import { markLayer } from './layer-mark.ts';
import { namedFile, rebaseCommand } from './local-spelling.ts';

/** One file or block device of a chain; the path is absolute. */
export interface Layer {
  path: string;
  format: string;
}

/** A layer of a disk, `depth` 0 for the disk's own, with what its header says. */
interface LayerAt extends Layer {
  disk: LocalDisk;
  depth: number;
  facts: QemuImgInfo;
}

/** A layer that is there for QEMU, and not for others of this host. */
export class OutsideLayer extends PublishError {}

/** Formats of the XML that libvirt follows no further, whatever their headers say. */
const ALONE: ReadonlySet<string> = new Set(['raw', 'vdi', 'vpc', 'vhdx', 'luks', 'iso', 'dmg']);

/**
 * Undefined at the end of the chain.
 *
 * NOTE: libvirt takes the layers of the XML as they are, and looks at headers below the last of them
 * only if no empty `<backingStore/>` ends the chain there.
 * @throws PublishError DISK_UNSUPPORTED; an OutsideLayer where it is in no file of this host.
 */
export function layerBelow(at: LayerAt): Layer | undefined {
  const { disk, depth, path, format, facts } = at;
  const told = disk.backingChain[depth];
  if (told) {
    if (ALONE.has(format)) refuseLayer(disk, `has a layer below ${path}, whose format has none`);
    if (!told.path || !told.format) {
      assertInside(disk, `has a backing file of type ${told.type}, which is not on this host`);
    }
    return { path: told.path, format: told.format };
  }
  if (disk.backingChainKnown || facts.backingFile === null) return undefined;
  const full = facts.fullBackingFile;
  if (isSlice(facts.backingFile)) {
    refuseLayer(disk, `has a layer below ${path} that is a slice of a file; copy it into its own`);
  }
  if (full === null || !full.startsWith('/')) {
    assertInside(
      disk,
      `has a backing file that is no local path (${facts.backingFile})`,
      cureOf(path, facts),
    );
  }
  if (facts.backingFormat === null) {
    refuseLayer(
      disk,
      `has a layer without a recorded backing format; record it with: qemu-img rebase -u -b ${shellQuote(facts.backingFile)} -F FORMAT ${shellQuote(path)}`,
    );
  }
  return { path: full, format: facts.backingFormat };
}

/** As a header writes it: `json:{"driver":"raw","offset":…,"size":…}`. */
function isSlice(name: string): boolean {
  return name.startsWith('json:') && /"(?:[\w-]+\.)*(?:offset|size)"\s*:/.test(name);
}

/** Whether the layer's header names the same layer below it, in the same format, as the XML does. */
export async function headerAgrees({ disk, depth, facts }: LayerAt): Promise<boolean> {
  const { backingFile, fullBackingFile, backingFormat } = facts;
  const told = disk.backingChain[depth];
  if (!told) return backingFile === null || !disk.backingChainKnown;
  if (told.path === null || fullBackingFile === null || backingFormat !== told.format) return false;
  if (fullBackingFile === told.path) return true;
  const identities = await Promise.all(
    [fullBackingFile, told.path].map((path) => markLayer(path).catch(() => null)),
  );
  return identities[0] !== null && identities[0]?.identity === identities[1]?.identity;
}

/** A file of this host that is named by a protocol can be named by its path. */
function cureOf(overlay: string, { backingFile, backingFormat }: QemuImgInfo): string {
  const file = namedFile(backingFile ?? '');
  if (file === undefined) return '';
  return `, or name its path while nobody has it open: ${rebaseCommand(overlay, file, backingFormat)}`;
}

function assertInside(disk: LocalDisk, obstacle: string, cure = ''): never {
  const message = `disk ${disk.target} ${obstacle}; start the domain, and take it live${cure}`;
  throw new OutsideLayer('DISK_UNSUPPORTED', message, { step: 'inspect' });
}

export function refuseLayer(disk: LocalDisk, obstacle: string): never {
  throw new PublishError('DISK_UNSUPPORTED', `disk ${disk.target} ${obstacle}`, {
    step: 'inspect',
  });
}
