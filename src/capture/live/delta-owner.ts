// Gives a delta to the user that QEMU runs as, which libvirt does not do for every domain.
import { chmod, chown, readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf, PublishError } from '../../core/errors.ts';
import { currentUser } from '../../core/user.ts';
import { needsOpening } from '../../host/files/own-folders.ts';
import type { Domain } from '../../libvirt/domain.ts';
import { parseDacLabel } from '../../libvirt/xml/dac-label.ts';

/** The ids that the kernel checks when QEMU opens a file. */
export interface QemuIds {
  uid: number;
  gid: number;
  /** Its other groups; empty if they are unknown. */
  groups: readonly number[];
}

/**
 * Makes QEMU's user the owner of the delta, with mode 0600. Does nothing if that is this user, or if
 * QEMU's user is unknown.
 *
 * NOTE: libvirt gives a mirror's target to QEMU unless it is configured not to: `<seclabel>` of the
 * domain or the disk with `relabel='no'` or `type='none'`, `dynamic_ownership=0` in qemu.conf. QEMU
 * cannot open the target then. If libvirt does it as well, no harm is done.
 * @throws PublishError DISK_UNSUPPORTED if libvirt does not do it and this user may not; WORK_DIR.
 */
export async function giveToQemu(domain: Domain, path: string): Promise<void> {
  await assertOwnable(domain);
  const ids = await qemuIds(domain);
  if (currentUser().uid === 0 && ids !== undefined && ids.uid !== 0) await own(path, ids);
}

/** @throws PublishError DISK_UNSUPPORTED if libvirt gives no files to QEMU and this user may not */
export async function assertOwnable(domain: Domain): Promise<void> {
  const ids = await qemuIds(domain);
  const here = currentUser().uid;
  if (here === 0 || ids === undefined || ids.uid === here) return;
  // libvirt's daemon may, and does it unless it is configured not to.
  if (await relabels(domain)) return;
  throw new PublishError(
    'DISK_UNSUPPORTED',
    `uid ${here} cannot give a delta to QEMU (uid ${ids.uid}), and libvirt does not do it for domain ${domain.name} (seclabel dac)`,
    { step: 'delta', hint: 'run as root, or use --mode cold' },
  );
}

/** Makes this user the owner of a delta again that QEMU has closed. */
export async function takeFromQemu(path: string): Promise<void> {
  const { uid, gid } = currentUser();
  if (uid === 0) await own(path, { uid, gid });
}

async function own(path: string, { uid, gid }: { uid: number; gid: number }): Promise<void> {
  try {
    await chmod(path, 0o600);
    await chown(path, uid, gid);
  } catch (cause) {
    const message = `cannot change the owner of ${path} to uid ${uid}: ${messageOf(cause)}`;
    const hint = 'choose another --work-dir';
    throw new PublishError('WORK_DIR', message, { step: 'delta', cause, hint });
  }
}

/** A folder that QEMU's user cannot traverse. */
export interface ClosedFolder {
  folder: string;
  /** The class whose x bit is missing. */
  who: 'u' | 'g' | 'o';
  ids: QemuIds;
}

/** Returns the message and the hint for a closed folder. */
export function describeClosed({ folder, who, ids }: ClosedFolder): {
  message: string;
  hint: string;
} {
  return {
    message: `QEMU (uid ${ids.uid}) cannot traverse ${folder}`,
    hint: `run chmod ${who}+x ${folder}, or choose another --work-dir`,
  };
}

/**
 * Returns the uppermost folder that keeps QEMU from a file; undefined if none does. Folders that a run
 * will create do not count, nor those of `prepared` that it will open.
 *
 * NOTE: only mode bits are checked; an access control list may allow more.
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

/** Reads the ids that the kernel checks files with: the last of each line. */
async function idsOfProcess(pid: number): Promise<QemuIds | undefined> {
  // The process may be in another pid namespace, or hidden from this user.
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
