// Finds what this host lacks for a start of the domain; used before a managed save.
import { readlink, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hasCode } from '../core/errors.ts';
import type { Connection } from '../libvirt/connection.ts';
import type { Domain } from '../libvirt/domain.ts';
import { isLibvirtError } from '../libvirt/errors.ts';
import { type StartNeed, startNeeds } from '../libvirt/xml/start-needs-xml.ts';

/** The calls about networks and storage pools. */
export type AskedOf = Pick<Connection, 'networkIsActive' | 'poolIsActive'>;

/**
 * Returns what the live XML of a running domain needs for a start and this host lacks, in the form
 * `the kernel (/boot/vmlinuz)`; empty if nothing is missing.
 *
 * NOTE: what this process cannot see does not count as missing: an inaccessible path, and everything if
 * the daemon has a file system or a network namespace of its own.
 */
export async function missingNeeds(
  domain: Domain,
  connection: AskedOf,
  xml: string,
): Promise<string[]> {
  if (!(await domain.seesDaemon())) return [];
  const sharesNetwork = await sharesNetworkWith(domain);
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
      return (await isAbsent(name)) && (otherwise === undefined || (await isAbsent(otherwise)));
    case 'folder':
      return isAbsent(dirname(name));
    case 'interface':
      return isAbsent(`/sys/class/net/${name}`);
    case 'network':
      return isInactive(() => connection.networkIsActive(name));
    case 'pool':
      return isInactive(() => connection.poolIsActive(name));
  }
}

async function isAbsent(path: string): Promise<boolean> {
  try {
    await stat(path);
    return false;
  } catch (error) {
    // ENOTDIR: a parent is a file now.
    return hasCode(error, 'ENOENT', 'ENOTDIR');
  }
}

/** False if the daemon does not answer. */
async function isInactive(ask: () => Promise<boolean | null>): Promise<boolean> {
  try {
    return (await ask()) !== true;
  } catch (error) {
    if (isLibvirtError(error)) return false;
    throw error;
  }
}

async function sharesNetworkWith(domain: Domain): Promise<boolean> {
  const pid = (await domain.status())?.pid;
  if (pid === undefined) return false;
  try {
    return (await readlink(`/proc/${pid}/ns/net`)) === (await readlink('/proc/self/ns/net'));
  } catch {
    // The process belongs to another user, or is hidden from this one.
    return false;
  }
}
