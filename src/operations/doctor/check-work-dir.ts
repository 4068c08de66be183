// Checks that QEMU's user can reach and write a file in the work directory, by trying it as that user.
import { chown, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Config } from '../../config/config.ts';
import { messageOf } from '../../core/errors.ts';
import { currentUser } from '../../core/user.ts';
import { closedFolder } from '../../host/files/closed-folder.ts';
import { type RunLimits, runAs } from '../../host/files/run-as.ts';
import { createOverlay } from '../../qemu/qemu-img.ts';
import { type DoctorFinding, failure, ok, warning } from './finding.ts';
import { withProbeFolder } from './probe-folder.ts';
import { findQemuUser, type QemuUser } from './qemu-user.ts';

const NAME = 'work directory';

export async function checkWorkDir(config: Config, signal: AbortSignal): Promise<DoctorFinding[]> {
  const { workDir, timeouts } = config;
  const limits = { signal, timeoutMs: timeouts.requestMs };
  const reach = await withProbeFolder(workDir, async (folder) => {
    const path = join(folder, 'probe.qcow2');
    await createOverlay({ ...limits, path, format: 'qcow2', virtualSize: 65536, backing: null });
    return tryReach(path, limits);
  });
  return [reach, await confinement()];
}

async function tryReach(path: string, limits: RunLimits): Promise<DoctorFinding> {
  const folder = dirname(dirname(path));
  const user = await findQemuUser();
  if (user === undefined) {
    return warning(
      NAME,
      `${folder} can be written to; QEMU's user is unknown, so QEMU's access was not tried`,
      'start a domain, or set user in /etc/libvirt/qemu.conf',
    );
  }
  if (currentUser().uid !== 0) return byPermissions(path, user);
  // NOTE: libvirt does the same for a block job: it gives the file to QEMU's user.
  await chown(path, user.uid, user.gid);
  try {
    // Opens it for writing and changes nothing.
    await runAs(user, ['truncate', '-c', '-s', '+0', path], limits);
    return ok(NAME, `${folder} can be reached and written by QEMU (uid ${user.uid}, ${user.from})`);
  } catch (error) {
    limits.signal.throwIfAborted();
    const closed = await closedFolder(path);
    const detail = `QEMU (uid ${user.uid}, ${user.from}) cannot write in ${folder}: ${lastLine(messageOf(error))}`;
    const hint = closed === undefined ? 'choose another --work-dir' : openIt(closed);
    return failure(NAME, 'WORK_DIR', detail, hint);
  }
}

async function byPermissions(path: string, { uid }: QemuUser): Promise<DoctorFinding> {
  const closed = await closedFolder(path);
  const folder = dirname(dirname(path));
  if (closed === undefined || uid === currentUser().uid) {
    return ok(NAME, `${folder} can be reached by all users, including QEMU (not tried: not root)`);
  }
  return warning(NAME, `${closed} cannot be passed by other users, including QEMU`, openIt(closed));
}

function openIt(folder: string): string {
  return `let QEMU pass through it: chmod o+x ${folder}, or choose another --work-dir`;
}

/** Checks what confines QEMU beside permissions; libvirt labels the files of a block job by itself. */
async function confinement(): Promise<DoctorFinding> {
  const name = 'confinement';
  const selinux = (await readOr('/sys/fs/selinux/enforce', '')).trim();
  if (selinux === '1') {
    const detail = 'SELinux is enforcing: libvirt labels the files of a run by itself';
    return ok(name, `${detail}, if the file system takes labels (NFS: setsebool virt_use_nfs)`);
  }
  const apparmor = (await readOr('/sys/module/apparmor/parameters/enabled', '')).trim();
  if (apparmor === 'Y') {
    return ok(name, "AppArmor is on: libvirt adds the files of a run to the guest's profile");
  }
  return ok(name, 'neither SELinux nor AppArmor is in the way');
}

async function readOr(file: string, otherwise: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch {
    // The kernel has no such thing.
    return otherwise;
  }
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}
