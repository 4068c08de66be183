// The files of one upload in a directory registry, made exclusively and held by descriptor.
import { constants, type FileHandle, readdir, rename } from 'node:fs/promises';
import { basename } from 'node:path';
import { PublishError } from '../../core/errors.ts';
import { parseJson } from '../../host/files/file-errors.ts';
import { descriptorPath, readAtMost } from '../../host/files/own-file.ts';
import type { OpenUpload } from '../object-store.ts';
import { openNew, openRegular, UPLOADS_FOLDER, withFile } from './files.ts';
import { openFolder, withFolder } from './folder.ts';
import { openOwnFile, type RegistryFolder } from './owner.ts';
import { byBytes } from './walk.ts';

/** The open files of an upload. Descriptors stay valid if the names change. */
export interface UploadFiles {
  folder: RegistryFolder;
  data: FileHandle;
  /** A line of JSON for each part that is in the data. */
  parts: FileHandle;
}

export type UploadNames = ReturnType<typeof uploadNames>;

/** Names of the files of one upload, in the folder of uploads. */
export function uploadNames(id: string) {
  return { about: `${id}.json`, parts: `${id}.parts`, data: `${id}.data` };
}

/** Writes down what the upload is for, and makes its empty files; durable when it returns. */
export async function createUploadFiles(
  root: string,
  key: string,
  names: UploadNames,
): Promise<UploadFiles> {
  const folder = await writableUploads(root);
  const open: FileHandle[] = [folder.handle];
  try {
    const create = async (name: string, flags: 'wx' | 'wx+' | 'ax+') => {
      const file = await openNew(folder, name, flags);
      open.push(file);
      return file;
    };
    const data = await create(names.data, 'wx+');
    await data.sync();
    const parts = await create(names.parts, 'ax+');
    const about = JSON.stringify({ key, started_at: new Date().toISOString() });
    const note = await create(`${names.about}.new`, 'wx');
    await note.writeFile(about);
    await note.sync();
    await rename(folder.at(`${names.about}.new`), folder.at(names.about));
    await note.close();
    open.pop();
    await folder.handle.sync();
    return { folder, data, parts };
  } catch (error) {
    for (const handle of open) await handle.close();
    throw error;
  }
}

/** Opens the files of an upload that an earlier process started; `undefined` if it does not exist. */
export async function reopenUploadFiles(
  root: string,
  names: UploadNames,
): Promise<UploadFiles | undefined> {
  const folder = await writableUploads(root);
  const open: FileHandle[] = [folder.handle];
  try {
    const data = await openOwnFile(folder, names.data);
    if (data !== undefined) open.push(data);
    const parts = await openOwnFile(folder, names.parts, constants.O_APPEND);
    if (data !== undefined && parts !== undefined) return { folder, data, parts };
    if (parts !== undefined) open.push(parts);
  } catch (error) {
    for (const handle of open) await handle.close();
    throw error;
  }
  for (const handle of open) await handle.close();
  return undefined;
}

async function writableUploads(root: string): Promise<RegistryFolder> {
  const folder = await openFolder(root, UPLOADS_FOLDER, { forWriting: true });
  if (folder !== undefined) return folder;
  throw new PublishError('REGISTRY', `${root} is no registry`, { step: 'registry' });
}

/** The uploads whose key starts with `prefix`, by key. */
export async function readUploads(root: string, prefix: string): Promise<OpenUpload[]> {
  const found = await withFolder(root, UPLOADS_FOLDER, { forWriting: false }, async (folder) => {
    const uploads: OpenUpload[] = [];
    const names = await readdir(descriptorPath(folder.handle));
    for (const name of names.filter((each) => each.endsWith('.json'))) {
      const about = await readUploadKey(root, name);
      if (about?.key.startsWith(prefix)) {
        uploads.push({ ...about, uploadId: basename(name, '.json') });
      }
    }
    return uploads;
  });
  return (found ?? []).sort((a, b) => byBytes(a.key, b.key));
}

/** Returns the key of an upload; `undefined` if it does not exist or its note is damaged. */
async function readUploadKey(
  root: string,
  name: string,
): Promise<{ key: string; startedAt: Date | null } | undefined> {
  const file = await openRegular(root, `${UPLOADS_FOLDER}/${name}`);
  if (file === undefined) return undefined;
  const text = await withFile(file, () => readAtMost(file, MAX_ABOUT_BYTES));
  const about = parseJson(text?.toString('utf8') ?? '');
  const { key, started_at } = (about ?? {}) as { key?: unknown; started_at?: unknown };
  if (typeof key !== 'string') return undefined;
  return { key, startedAt: typeof started_at === 'string' ? new Date(started_at) : null };
}

const MAX_ABOUT_BYTES = 64 * 1024;
