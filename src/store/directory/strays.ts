// Files that a crash can leave in a directory registry beside its objects and uploads.
import { lstat, readdir, unlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { orMissing } from '../../host/files/file-errors.ts';
import { descriptorPath } from '../../host/files/own-file.ts';
import type { ObjectInfo } from '../object-info.ts';
import { UPLOADS_FOLDER } from './files.ts';
import { withFolder } from './folder.ts';

/**
 * Files that were never given their name (`<uuid>.new`), and the data and notes of uploads that are
 * no longer, or not yet, listed as such. Files of a live upload are among them for a moment, so callers check the age.
 */
export async function* listStrays(root: string): AsyncGenerator<ObjectInfo> {
  const strays = await withFolder(root, UPLOADS_FOLDER, { forWriting: false }, async (folder) => {
    const names = await readdir(descriptorPath(folder.handle));
    const uploads = new Set(names.filter((name) => name.endsWith('.json')).map(stem));
    const found: ObjectInfo[] = [];
    for (const name of names.sort()) {
      if (!STRAY.test(name) || (!name.endsWith('.new') && uploads.has(stem(name)))) continue;
      const facts = await orMissing(lstat(folder.at(name)));
      if (!facts?.isFile()) continue;
      const key = `${UPLOADS_FOLDER}/${name}`;
      found.push({ key, size: facts.size, etag: null, lastModified: facts.mtime });
    }
    return found;
  });
  yield* strays ?? [];
}

export async function removeStray(root: string, key: string): Promise<void> {
  const name = basename(key);
  if (!STRAY.test(name)) return;
  await withFolder(root, UPLOADS_FOLDER, { forWriting: false }, (folder) =>
    orMissing(unlink(folder.at(name))),
  );
}

const STRAY = /^[0-9a-f-]{36}\.(new|json\.new|data|parts)$/;

function stem(name: string): string {
  return name.slice(0, name.indexOf('.'));
}
