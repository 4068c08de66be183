// The user that QEMU runs as: from qemu.conf, else from a running QEMU, else by the distribution's name.
import { readdir, readFile, stat } from 'node:fs/promises';

export interface QemuUser {
  uid: number;
  gid: number;
  /** The source: a file, a process, a name. */
  from: string;
}

const CONF = '/etc/libvirt/qemu.conf';
/** Debian and Ubuntu; Fedora, SUSE and Arch (`nobody` is not guessed). */
const USUAL = ['libvirt-qemu', 'qemu'];

/** Returns undefined if nothing shows it. */
export async function findQemuUser(): Promise<QemuUser | undefined> {
  return (await fromConf()) ?? (await fromProcess()) ?? (await fromPasswd());
}

async function fromConf(): Promise<QemuUser | undefined> {
  const text = await readOrEmpty(CONF);
  const setting = (name: string) =>
    new RegExp(`^\\s*${name}\\s*=\\s*"\\+?([^"]+)"`, 'm').exec(text)?.[1];
  const user = setting('user');
  if (user === undefined) return undefined;
  const known = await lookUp('/etc/passwd', user);
  const group = await lookUp('/etc/group', setting('group') ?? user);
  const uid = known?.id;
  const gid = group?.id ?? known?.group;
  return uid === undefined || gid === undefined ? undefined : { uid, gid, from: CONF };
}

async function fromProcess(): Promise<QemuUser | undefined> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = await readOrEmpty(`/proc/${pid}/comm`);
    if (!/^qemu-(system|kvm)/.test(command)) continue;
    const facts = await stat(`/proc/${pid}`).catch(() => undefined);
    if (facts !== undefined && facts.uid !== 0) {
      return { uid: facts.uid, gid: facts.gid, from: `process ${pid}` };
    }
  }
  return undefined;
}

async function fromPasswd(): Promise<QemuUser | undefined> {
  for (const name of USUAL) {
    const known = await lookUp('/etc/passwd', name);
    if (known !== undefined) return { uid: known.id, gid: known.group, from: `user ${name}` };
  }
  return undefined;
}

/** `name:x:id:group:…` by name or number; for a group, the fields after the id have no meaning. */
async function lookUp(
  file: string,
  who: string,
): Promise<{ id: number; group: number } | undefined> {
  const rows = (await readOrEmpty(file)).split('\n').map((line) => line.split(':'));
  const row = rows.find(([name, , id]) => name === who || id === who);
  const id = Number(row?.[2] ?? who);
  return Number.isSafeInteger(id) ? { id, group: Number(row?.[3] ?? id) } : undefined;
}

async function readOrEmpty(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch {
    // Missing, or not readable by this user.
    return '';
  }
}
