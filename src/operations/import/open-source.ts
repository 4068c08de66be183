// Opens the file that the caller names: from folder to folder, through no link of another user.
import { constants, type FileHandle, open } from 'node:fs/promises';
import { basename, isAbsolute } from 'node:path';
import { messageOf, PublishError } from '../../core/errors.ts';
import { descriptorPath, kindOf } from '../../host/files/own-file.ts';
import { isTrustedOwner } from '../../host/files/own-folders.ts';

export interface SourceFile {
  file: FileHandle;
  /** The name that the caller gave, and the name that its links lead to. */
  names: string[];
}

const { O_RDONLY, O_NOFOLLOW, O_DIRECTORY, O_NONBLOCK } = constants;
/** A descriptor that names a file and does not open it: a FIFO does not block, a device does nothing. */
const O_PATH = 0o10000000;
/** The limit of the kernel. */
const MAX_LINKS = 40;

/**
 * Opens a regular file for reading. Each part of the path is opened below the one before it. So the
 * file that was checked is the one that is read, even if another process renames files meanwhile. A
 * link in the path must be the caller's or root's: another user could make it lead to a file that
 * only the caller may read.
 * @throws USAGE if it is not a regular file, or cannot be opened; IMAGE_REFUSED for such a link
 */
export async function openSource(path: string): Promise<SourceFile> {
  try {
    const { place, name } = await walk(path);
    try {
      const facts = await place.stat();
      if (!facts.isFile()) throw noFile(path, kindOf(facts));
      const file = await open(descriptorPath(place), O_RDONLY | O_NONBLOCK);
      return { file, names: [...new Set([basename(path), name])] };
    } finally {
      await place.close();
    }
  } catch (cause) {
    if (cause instanceof PublishError) throw cause;
    // Without the call and the path of a descriptor.
    const why = messageOf(cause).replace(/, \w+ '.*$/s, '');
    const message = `${path} cannot be read: ${why}`;
    const hint = 'name an image file that you may read, or a URL';
    throw new PublishError('USAGE', message, { step: 'inspect', cause, hint });
  }
}

/** Returns an `O_PATH` descriptor of the file, and its last name. */
async function walk(path: string): Promise<{ place: FileHandle; name: string }> {
  const parts = path.split('/');
  let place = await openFolder(isAbsolute(path) ? '/' : '.');
  let name = '';
  try {
    for (let links = 0; parts.length > 0; ) {
      const part = parts.shift() ?? '';
      if (part === '' || part === '.') continue;
      const next = await open(`${descriptorPath(place)}/${part}`, O_PATH | O_NOFOLLOW);
      const target = await targetOf(next, { path, part });
      if (target === undefined) {
        await place.close();
        place = next;
        name = part;
        continue;
      }
      links += 1;
      if (links > MAX_LINKS) throw new Error('ELOOP: too many symbolic links');
      parts.unshift(...target.split('/'));
      if (!isAbsolute(target)) continue;
      await place.close();
      place = await openFolder('/');
    }
    return { place, name };
  } catch (error) {
    await place.close();
    throw error;
  }
}

function openFolder(path: string): Promise<FileHandle> {
  return open(path, O_PATH | O_DIRECTORY);
}

/** Returns undefined if it is no link; closes the descriptor of a link. @throws PublishError IMAGE_REFUSED */
async function targetOf(
  place: FileHandle,
  { path, part }: { path: string; part: string },
): Promise<string | undefined> {
  let isLink = true;
  try {
    const facts = await place.stat();
    isLink = facts.isSymbolicLink();
    if (!isLink) return undefined;
    const { linkTarget } = await import('../../host/native/file-calls.ts');
    const target = linkTarget(place.fd);
    // The target of `/dev/fd/63` of a process substitution, which is no path.
    const kind = /^(pipe|socket):\[\d+\]$/.exec(target)?.[1];
    if (kind !== undefined) throw noFile(path, `a ${kind}`);
    if (isTrustedOwner(facts)) return target;
    const message = `${part} in ${path} is a link of another user (uid ${facts.uid}) to ${target}`;
    const hint = 'name the file itself, if it is the one you want';
    throw new PublishError('IMAGE_REFUSED', message, { step: 'inspect', hint });
  } finally {
    if (isLink) await place.close();
  }
}

function noFile(path: string, kind: string): PublishError {
  const hint = 'name an image file or a URL, or send the image to standard input and import -';
  const message = `${path} is ${kind}, not a regular file`;
  return new PublishError('USAGE', message, { step: 'inspect', hint });
}
