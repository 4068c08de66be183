// The directory of a registry: checked before a run, created by its first image.
import { access, chmod, constants, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { PublishError } from '../../core/errors.ts';
import { fileError, orMissing } from '../../host/files/file-errors.ts';
import { makeFoldersDurably, syncDirectory } from '../../host/files/own-folders.ts';
import type { StoreLimits } from '../object-store.ts';
import { made, notFolder } from './folder.ts';

export interface PlaceOptions {
  /** Creates a missing directory with its parents, like the default registry. */
  makeParents?: boolean | undefined;
  /** Mode of a new directory; by default 0750 as the umask permits. */
  mode?: number | undefined;
}

const TIB = 1024 ** 4;
export const DIRECTORY_LIMITS: StoreLimits = {
  minPartBytes: 1,
  maxPartBytes: 5 * TIB,
  maxParts: 10_000,
  maxObjectBytes: 5 * TIB,
};

const { R_OK, W_OK, X_OK } = constants;

/** @throws REGISTRY or the file system's error if the directory can be neither used nor created. Creates nothing. */
export async function checkPlace(root: string, { makeParents }: PlaceOptions): Promise<void> {
  if (await isFolder(root)) {
    await access(root, R_OK | X_OK).catch((error: unknown) => {
      throw fileError(error, `Opening the registry ${root}`, 'registry', 'read');
    });
    return access(root, W_OK);
  }
  if (makeParents) return;
  await assertParent(root);
  await access(dirname(root), W_OK | X_OK);
}

/** Creates the directory durably; an existing one is not changed. @throws what `checkPlace` throws */
export async function makePlace(root: string, { makeParents, mode }: PlaceOptions): Promise<void> {
  if (await isFolder(root)) return;
  if (makeParents) await makeFoldersDurably(dirname(root));
  else await assertParent(root);
  if (!(await made(root))) return;
  if (mode !== undefined) await chmod(root, mode);
  await syncDirectory(dirname(root));
}

async function isFolder(root: string): Promise<boolean> {
  const facts = await orMissing(stat(root));
  if (facts !== undefined && !facts.isDirectory()) throw notFolder(root, undefined);
  return facts !== undefined;
}

// NOTE: a missing parent is a typing error, or a share that is not mounted.
async function assertParent(root: string): Promise<void> {
  const parent = dirname(root);
  if (await isFolder(parent)) return;
  const message = `${root} cannot become a registry: the directory ${parent} is missing`;
  const hint = 'correct --registry, or make that directory first';
  throw new PublishError('REGISTRY', message, { step: 'registry', hint });
}
