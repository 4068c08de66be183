// Reads which files the QEMU process of a running domain has open.
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, messageOf } from '../core/errors.ts';
import { ignoreEvents, type OnEvent } from '../core/events.ts';
import { identityOf } from './chain/layer-mark.ts';

export interface DomainOfProcess {
  name: string;
  uuid: string;
}

/** The folder of the system libvirtd with the files NAME.pid. */
const PID_DIR = '/run/libvirt/qemu';

/**
 * Returns the identities (of `markLayer`) of all files and block devices that the domain's QEMU has
 * open. Null, with a note at debug level, if its process cannot be found or inspected.
 *
 * NOTE: QEMU may run in a mount namespace of its own, in which paths name other files: only the
 * descriptors are read, never their paths.
 */
export async function readOpenFiles(
  domain: DomainOfProcess,
  onEvent: OnEvent = ignoreEvents,
): Promise<ReadonlySet<string> | null> {
  try {
    const pid = await findProcess(domain);
    const opened = await filesOf(pid);
    // Another process may have got the pid meanwhile.
    if (await isQemuOf(pid, domain)) return opened;
    throw new Error(`process ${pid} has ended`);
  } catch (error) {
    const message = `cannot see the open files of the QEMU of domain ${domain.name}, so a replaced layer would not be detected: ${messageOf(error)}`;
    onEvent({ type: 'note', level: 'debug', step: 'inspect', message });
    return null;
  }
}

async function findProcess(domain: DomainOfProcess): Promise<string> {
  const written = await readFile(join(PID_DIR, `${domain.name}.pid`), 'utf8').catch(() => '');
  const pid = written.trim();
  if (/^\d+$/.test(pid) && (await isQemuOf(pid, domain))) return pid;
  // A session libvirt, or one with other folders.
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found: string[] = [];
  for (const each of pids) if (await isQemuOf(each, domain)) found.push(each);
  const [first, ...others] = found;
  if (first !== undefined && others.length === 0) return first;
  throw new Error(`${found.length} processes have its UUID on their command line`);
}

async function isQemuOf(pid: string, { uuid }: DomainOfProcess): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  const words = text.split('\0');
  return words.some((word, index) => word === '-uuid' && words[index + 1] === uuid);
}

async function filesOf(pid: string): Promise<Set<string>> {
  const folder = `/proc/${pid}/fd`;
  const identities = await Promise.all(
    (await readdir(folder)).map(async (fd) => {
      try {
        return identityOf(await stat(join(folder, fd), { bigint: true }));
      } catch (error) {
        // It was closed meanwhile.
        if (hasCode(error, 'ENOENT')) return undefined;
        throw error;
      }
    }),
  );
  return new Set(identities.filter((identity) => identity !== undefined));
}
