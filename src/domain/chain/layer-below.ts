// Finds the layer below another one: from the XML, or from the header if the XML has none.
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

/** A layer of a disk, `depth` 0 for the active one, with the facts of its header. */
interface LayerAt extends Layer {
  disk: LocalDisk;
  depth: number;
  facts: QemuImgInfo;
}

/** The error for a layer that only QEMU can read, not other processes of this host. */
export class OutsideLayer extends PublishError {}

/** Formats whose headers libvirt does not follow. */
const ALONE: ReadonlySet<string> = new Set(['raw', 'vdi', 'vpc', 'vhdx', 'luks', 'iso', 'dmg']);

/**
 * Returns the layer below; undefined at the end of the chain.
 *
 * NOTE: libvirt uses the layers of the XML unchanged, and reads headers below the last of them only if no
 * empty `<backingStore/>` ends the chain there.
 * @throws PublishError DISK_UNSUPPORTED; OutsideLayer if the layer is not on this host
 */
export function layerBelow(at: LayerAt): Layer | undefined {
  const { disk, depth, path, format, facts } = at;
  const inXml = disk.backingChain[depth];
  if (inXml) {
    if (ALONE.has(format)) failLayer(disk, `has a layer below ${path}, whose format has none`);
    if (!inXml.path || !inXml.format) {
      failOutside(disk, `has a backing file of type ${inXml.type}, which is not on this host`);
    }
    return { path: inXml.path, format: inXml.format };
  }
  if (disk.backingChainKnown || facts.backingFile === null) return undefined;
  const full = facts.fullBackingFile;
  if (isSlice(facts.backingFile)) {
    failLayer(
      disk,
      `has a layer below ${path} that is a slice of a file`,
      'copy the slice into a file of its own',
    );
  }
  if (full === null || !full.startsWith('/')) {
    failOutside(
      disk,
      `has a backing file that is no local path (${facts.backingFile})`,
      renameHint(path, facts),
    );
  }
  if (facts.backingFormat === null) {
    failLayer(
      disk,
      `has a layer without a recorded backing format (${path})`,
      `record it: qemu-img rebase -u -b ${shellQuote(facts.backingFile)} -F FORMAT ${shellQuote(path)}`,
    );
  }
  return { path: full, format: facts.backingFormat };
}

/** Whether a header names a slice of a file: `json:{"driver":"raw","offset":…,"size":…}`. */
function isSlice(name: string): boolean {
  return name.startsWith('json:') && /"(?:[\w-]+\.)*(?:offset|size)"\s*:/.test(name);
}

/** Whether the layer's header names the same layer below it, with the same format, as the XML. */
export async function headerAgrees({ disk, depth, facts }: LayerAt): Promise<boolean> {
  const { backingFile, fullBackingFile, backingFormat } = facts;
  const inXml = disk.backingChain[depth];
  if (!inXml) return backingFile === null || !disk.backingChainKnown;
  if (inXml.path === null || fullBackingFile === null || backingFormat !== inXml.format)
    return false;
  if (fullBackingFile === inXml.path) return true;
  const identities = await Promise.all(
    [fullBackingFile, inXml.path].map((path) => markLayer(path).catch(() => null)),
  );
  return identities[0] !== null && identities[0]?.identity === identities[1]?.identity;
}

/** Returns the hint that a file of this host, named with a protocol, can be named by its path. */
function renameHint(overlay: string, { backingFile, backingFormat }: QemuImgInfo): string {
  const file = namedFile(backingFile ?? '');
  if (file === undefined) return '';
  return `, or record its path while no process has it open: ${rebaseCommand(overlay, file, backingFormat)}`;
}

function failOutside(disk: LocalDisk, obstacle: string, alternative = ''): never {
  throw new OutsideLayer('DISK_UNSUPPORTED', `disk ${disk.target} ${obstacle}`, {
    step: 'inspect',
    hint: `start the domain, then use --mode live${alternative}`,
  });
}

export function failLayer(disk: LocalDisk, obstacle: string, hint?: string): never {
  throw new PublishError('DISK_UNSUPPORTED', `disk ${disk.target} ${obstacle}`, {
    step: 'inspect',
    ...(hint === undefined ? {} : { hint }),
  });
}
