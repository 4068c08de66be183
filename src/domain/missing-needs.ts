// What a start of the domain would not find on this host: looked for before the guest is saved.
import { readlink, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hasCode } from '../core/errors.ts';
import type { Connection } from '../libvirt/connection.ts';
import type { Domain } from '../libvirt/domain.ts';
import { isLibvirtError } from '../libvirt/errors.ts';
import { type StartNeed, startNeeds } from '../libvirt/xml/start-needs-xml.ts';

/** What is asked of libvirt about its other objects. */
export type AskedOf = Pick<Connection, 'networkIsActive' | 'poolIsActive'>;

/**
 * Names what the live XML of a running domain needs for a start and this host does not have (any
 * more), each as `the kernel (/boot/vmlinuz)`; empty if all is there.
 *
 * NOTE: what cannot be looked at from here says nothing: a path that this user may not look at, and
 * everything if the daemon has a file system or a network of its own.
 */
export async function missingNeeds(
  domain: Domain,
  connection: AskedOf,
  xml: string,
): Promise<string[]> {
  if (!(await domain.seesDaemon())) return [];
  const sharesNetwork = await isInOurNetwork(domain);
  const missing: string[] = [];
  for (const need of startNeeds(xml)) {
    if (need.kind === 'interface' && !sharesNetwork) continue;
    if (await isMissing(need, connection)) missing.push(describe(need));
  }
  return missing;
}

function describe({ kind, name, what }: StartNeed): string {
  if (kind === 'folder') return `the folder ${dirname(name)} (of ${what})`;
  const isStopped = kind === 'network' || kind === 'pool';
  return isStopped ? `${what} (${name} is not started)` : `${what} (${name})`;
}

async function isMissing(need: StartNeed, connection: AskedOf): Promise<boolean> {
  const { kind, name, otherwise } = need;
  switch (kind) {
    case 'path':
      return (await isGone(name)) && (otherwise === undefined || (await isGone(otherwise)));
    case 'folder':
      return isGone(dirname(name));
    case 'interface':
      return isGone(`/sys/class/net/${name}`);
    case 'network':
      return isInactive(() => connection.networkIsActive(name));
    case 'pool':
      return isInactive(() => connection.poolIsActive(name));
  }
}

async function isGone(path: string): Promise<boolean> {
  try {
    await stat(path);
    return false;
  } catch (error) {
    // ENOTDIR: a file stands where a folder was.
    return hasCode(error, 'ENOENT', 'ENOTDIR');
  }
}

/** A daemon that does not answer for it says nothing. */
async function isInactive(ask: () => Promise<boolean | null>): Promise<boolean> {
  try {
    return (await ask()) !== true;
  } catch (error) {
    if (isLibvirtError(error)) return false;
    throw error;
  }
}

async function isInOurNetwork(domain: Domain): Promise<boolean> {
  const pid = (await domain.status())?.pid;
  if (pid === undefined) return false;
  try {
    return (await readlink(`/proc/${pid}/ns/net`)) === (await readlink('/proc/self/ns/net'));
  } catch {
    // It is another user's process, or one that this process cannot see.
    return false;
  }
}
