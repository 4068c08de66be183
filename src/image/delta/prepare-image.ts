// The file of a flat image before the pass over it: what of it need not be copied is there already.
import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { OWNERS_ONLY } from '../../host/files/private-file.ts';
import { requireReflinks } from '../../host/io/reflinks.ts';
import { assertUnchanged, type PlannedImage } from '../plan/plan-image.ts';
import { Qcow2Layout } from '../qcow2/qcow2-layout.ts';
import { shareData } from './share-data.ts';

/** What the pass over the image begins with. */
export interface PreparedImage {
  /** Clusters of the file that stay. 0: it is a new one. */
  kept: number;
  /** All data behind the tables are there. */
  isShared: boolean;
}

/**
 * Renames the top layer to `path` where it can become the image, and shares what can be shared.
 * @throws PublishError INTEGRITY where a layer was changed since it was planned with; what the file
 * system throws; the signal's reason.
 */
export async function prepareImage(
  planned: PlannedImage,
  path: string,
  signal: AbortSignal,
): Promise<PreparedImage> {
  const isKept = planned.kept > 0 && (await becomeImage(planned, path));
  const kept = isKept ? planned.kept : 0;
  const layers = isKept ? [path, ...planned.layers.slice(1)] : planned.layers;
  const canBeShared = planned.shares && (await canShare(layers, dirname(path)));
  if (!canBeShared) return { kept, isShared: false };
  const layout = new Qcow2Layout(planned, kept);
  const target = await open(path, isKept ? 'r+' : 'w', OWNERS_ONLY);
  try {
    const isShared = await shareData(target, { layers, layout, signal });
    if (!isShared) await target.truncate(layout.keptBytes);
    return { kept, isShared };
  } finally {
    await target.close();
  }
}

/**
 * False where the layer stays what it was: somebody has it open for writing, or nothing tells.
 *
 * NOTE: the file was QEMU's to write, under a user of its own, and is published next. So it belongs
 * to the owner of its folder from here, who alone may open it, under this name alone; and it is as
 * it was when its clusters were read.
 */
async function becomeImage(planned: PlannedImage, path: string): Promise<boolean> {
  const [top = ''] = planned.layers;
  const file = await open(top, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    if (!(await isOursAlone(file, await stat(dirname(path))))) return false;
    await assertUnchanged({ ...planned, kept: 0 });
  } finally {
    await file.close();
  }
  await rename(top, path);
  return true;
}

/** Makes it so where that can be done; the C library may have another name than the calls know. */
async function isOursAlone(file: FileHandle, { uid, gid }: Stats): Promise<boolean> {
  const { nlink } = await file.stat();
  if (nlink !== 1) return false;
  try {
    await file.chown(uid, gid);
    // It takes an access list's permissions too.
    await file.chmod(OWNERS_ONLY);
    const { hasNoWriter } = await import('../../host/native/file-calls.ts');
    return hasNoWriter(file.fd);
  } catch {
    return false;
  }
}

async function canShare(layers: readonly string[], folder: string): Promise<boolean> {
  const [there, ...facts] = await Promise.all([folder, ...layers].map((path) => stat(path)));
  if (facts.some(({ dev }) => dev !== there?.dev)) return false;
  try {
    await requireReflinks(folder);
    await import('../../host/native/file-calls.ts');
    return true;
  } catch {
    return false;
  }
}
