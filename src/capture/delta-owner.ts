// Gives a delta to the user that QEMU runs as: libvirt does not do it for every domain.
import { chmod, chown, readFile, stat } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname } from 'node:path';
import { messageOf, PublishError } from '../errors.ts';
import { parseDacLabel } from '../libvirt/dac-label.ts';
import type { Domain } from '../libvirt/domain.ts';

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
  const ids = await qemuIds(domain);
  const here = userInfo().uid;
  if (ids === undefined || ids.uid === here) return;
  if (here !== 0) {
    // libvirt's daemon can, and does it unless it was told not to.
    if (await relabels(domain)) return;
    throw new PublishError(
      'DISK_UNSUPPORTED',
      `libvirt hands no files of domain ${domain.name} to QEMU (seclabel dac), and uid ${here} cannot give one to uid ${ids.uid}; run as root, or use --mode cold`,
      { step: 'delta' },
    );
  }
  await own(path, ids);
}

/** Makes a delta that QEMU has closed the property of this user again. */
export async function takeFromQemu(path: string): Promise<void> {
  const { uid, gid } = userInfo();
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

/**
 * What keeps QEMU from a file, with its cure; undefined if no folder above it does.
 *
 * NOTE: mode bits alone are looked at: an access control list may allow what they do not.
 */
export async function obstacleForQemu(domain: Domain, path: string): Promise<string | undefined> {
  const ids = await qemuIds(domain);
  if (ids === undefined || ids.uid === 0) return undefined;
  const parents: string[] = [];
  for (let at = dirname(path); at !== dirname(at); at = dirname(at)) parents.unshift(at);
  for (const folder of parents) {
    const { mode, uid, gid } = await stat(folder);
    const bits = uid === ids.uid ? 0o100 : isOneOf(gid, ids) ? 0o010 : 0o001;
    if ((mode & bits) !== 0) continue;
    const who = bits === 0o100 ? 'u' : bits === 0o010 ? 'g' : 'o';
    return `QEMU (uid ${ids.uid}) cannot pass ${folder}: chmod ${who}+x ${folder}, or choose another --work-dir`;
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
