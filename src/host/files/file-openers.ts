// Finds the processes of this host that have certain files open.
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';

/** One open descriptor of one of the files. */
export interface Opener {
  /** The result of {@link fileIdentity}. */
  identity: string;
  pid: string;
  /** Its name as the kernel has it, 15 characters at most, e.g. `qemu-system-x86`. */
  program: string;
  /** The descriptor is open for writing. */
  writes: boolean;
}

/**
 * Returns each use of the files by another process. Processes of other users are visible to root
 * alone.
 *
 * @param files the files' base names by their identities.
 */
export async function findOpeners(files: ReadonlyMap<string, string>): Promise<Opener[]> {
  const names = new Set(files.values());
  const self = await readlink('/proc/self');
  const openers: Opener[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || pid === self) continue;
    openers.push(...(await openersOf(pid, names, files)));
  }
  return openers;
}

/** Device and inode; undefined if it is missing, cannot be read, or is no regular file. */
export async function fileIdentity(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() ? `${found.dev}:${found.ino}` : undefined;
}

/** Whether a program's name is that of a QEMU which runs a guest. */
export function isQemu(program: string): boolean {
  return program.startsWith('qemu-system') || program === 'qemu-kvm';
}

/** Returns the openers of one process; none if it ends meanwhile or cannot be read. */
async function openersOf(
  pid: string,
  names: ReadonlySet<string>,
  files: ReadonlyMap<string, string>,
): Promise<Opener[]> {
  const folder = `/proc/${pid}/fd`;
  const openers: Opener[] = [];
  for (const fd of await readdir(folder).catch(() => [])) {
    const link = join(folder, fd);
    // The path may be another one in the process's own mount namespace; the name is the same.
    const target = await readlink(link).catch(() => '');
    if (!names.has(basename(target))) continue;
    const identity = await fileIdentity(link);
    if (identity === undefined || !files.has(identity)) continue;
    const program = (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim();
    openers.push({ identity, pid, program, writes: await isWritable(pid, fd) });
  }
  return openers;
}

/** O_WRONLY or O_RDWR in the descriptor's flags, which the kernel prints in octal. */
async function isWritable(pid: string, fd: string): Promise<boolean> {
  const info = await readFile(`/proc/${pid}/fdinfo/${fd}`, 'utf8').catch(() => '');
  const flags = /^flags:\s*([0-7]+)$/m.exec(info)?.[1] ?? '0';
  return (Number.parseInt(flags, 8) & 3) !== 0;
}
