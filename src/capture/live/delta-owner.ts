// Gives a delta to the user that QEMU runs as: libvirt does not do it for every domain.
import { chmod, chown, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf, PublishError } from '../../core/errors.ts';
import { currentUser } from '../../core/user.ts';
import { needsOpening } from '../../host/files/own-folders.ts';
import type { Domain } from '../../libvirt/domain.ts';
import { parseDacLabel } from '../../libvirt/xml/dac-label.ts';

/** Whom the kernel takes QEMU for when it opens a file. */
export interface QemuIds {
  uid: number;
  gid: number;
  /** Its other groups; empty if they are not known. */
  groups: readonly number[];
}

/**
 * Makes the delta the property of QEMU's user, readable by nobody else. Does nothing if that is this
 * user, or if it cannot be known.
 *
 * NOTE: libvirt hands a mirror's target to QEMU unless it was told not to: `<seclabel>` of the domain
 * or the disk with `relabel='no'` or `type='none'`, `dynamic_ownership=0` in qemu.conf. QEMU cannot
 * open it then. Where libvirt does it too, nothing is lost.
 * @throws PublishError DISK_UNSUPPORTED if libvirt leaves it to us and this user may not do it; WORK_DIR.
 */
export async function giveToQemu(domain: Domain, path: string): Promise<void> {
  await assertOwnable(domain);
  const ids = await qemuIds(domain);
  if (currentUser().uid === 0 && ids !== undefined && ids.uid !== 0) await own(path, ids);
}

/** @throws PublishError DISK_UNSUPPORTED if libvirt leaves it to us and this user may not do it. */
export async function assertOwnable(domain: Domain): Promise<void> {
  const ids = await qemuIds(domain);
  const here = currentUser().uid;
  if (here === 0 || ids === undefined || ids.uid === here) return;
  // libvirt's daemon can, and does it unless it was told not to.
  if (await relabels(domain)) return;
  throw new PublishError(
    'DISK_UNSUPPORTED',
    `libvirt hands no files of domain ${domain.name} to QEMU (seclabel dac), and uid ${here} cannot give one to uid ${ids.uid}; run as root, or use --mode cold`,
    { step: 'delta' },
  );
}

/** Makes a delta that QEMU has closed the property of this user again. */
export async function takeFromQemu(path: string): Promise<void> {
  const { uid, gid } = currentUser();
  if (uid === 0) await own(path, { uid, gid });
}

async function own(path: string, { uid, gid }: { uid: number; gid: number }): Promise<void> {
  try {
    await chmod(path, 0o600);
    await chown(path, uid, gid);
  } catch (cause) {
    const message = `${path} cannot be given to uid ${uid}: ${messageOf(cause)}; choose another --work-dir`;
    throw new PublishError('WORK_DIR', message, { step: 'delta', cause });
  }
}

/** A folder that QEMU's user may not pass. */
export interface ClosedFolder {
  folder: string;
  /** Whose bit is missing. */
  who: 'u' | 'g' | 'o';
  ids: QemuIds;
}

/** What keeps QEMU from a folder, with its cure. */
export function describeClosed({ folder, who, ids }: ClosedFolder): string {
  return `QEMU (uid ${ids.uid}) cannot pass ${folder}: chmod ${who}+x ${folder}, or choose another --work-dir`;
}

/**
 * The uppermost folder that keeps QEMU from a file; undefined if none does. One that a run will make
 * keeps nobody, and neither does one of `prepared` that it will open.
 *
 * NOTE: mode bits alone are looked at: an access control list may allow what they do not.
 */
export async function closedForQemu(
  domain: Domain,
  path: string,
  prepared: readonly string[] = [],
): Promise<ClosedFolder | undefined> {
  const ids = await qemuIds(domain);
  if (ids === undefined || ids.uid === 0) return undefined;
  const parents: string[] = [];
  for (let at = dirname(path); at !== dirname(at); at = dirname(at)) parents.unshift(at);
  for (const folder of parents) {
    const facts = await stat(folder).catch(() => undefined);
    if (facts === undefined) return undefined;
    const { mode, uid, gid } = facts;
    const bits = uid === ids.uid ? 0o100 : isOneOf(gid, ids) ? 0o010 : 0o001;
    if ((mode & bits) !== 0) continue;
    if (prepared.includes(folder) && (await needsOpening(folder))) continue;
    return { folder, who: bits === 0o100 ? 'u' : bits === 0o010 ? 'g' : 'o', ids };
  }
  return undefined;
}

function isOneOf(gid: number, ids: QemuIds): boolean {
  return gid === ids.gid || ids.groups.includes(gid);
}

async function qemuIds(domain: Domain): Promise<QemuIds | undefined> {
  const pid = (await domain.status())?.pid;
  const running = pid === undefined ? undefined : await idsOfProcess(pid);
  return running ?? parseDacLabel(await domain.getXMLDesc(0)).label;
}

/** The ids that the kernel checks files with: the last of each line. */
async function idsOfProcess(pid: number): Promise<QemuIds | undefined> {
  // It is not there in a process namespace of its own, or hidden from this user.
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const numbers = (name: string) =>
    (new RegExp(`^${name}:(.*)$`, 'm').exec(status)?.[1] ?? '').trim().split(/\s+/).map(Number);
  const uid = numbers('Uid').at(3);
  const gid = numbers('Gid').at(3);
  if (!/qemu|kvm/i.test(/^Name:(.*)$/m.exec(status)?.[1] ?? '')) return undefined;
  return uid === undefined || gid === undefined
    ? undefined
    : { uid, gid, groups: numbers('Groups').filter(Number.isInteger) };
}

async function relabels(domain: Domain): Promise<boolean> {
  return parseDacLabel(await domain.getXMLDesc(0)).relabels;
}
