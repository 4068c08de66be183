// A private libvirtd in its own mount namespace, which a test may kill.
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpLater } from '../support/cleanup.ts';
import { run } from '../support/exec.ts';
import { makeFolder } from '../support/folders.ts';
import { waitFor } from '../support/wait.ts';

export interface PrivateLibvirtd {
  uri: string;
  /** Kills it with SIGKILL and starts a new one; the guests keep running. */
  restart(): Promise<void>;
}

/**
 * Starts it with managed saves on a file system of so many MiB. Its socket is visible everywhere,
 * all its other state only to itself.
 *
 * NOTE: tini keeps running across restarts of libvirtd, and adopts its guests.
 */
export async function startPrivateLibvirtd(saveMib: number): Promise<PrivateLibvirtd> {
  const dir = await makeFolder('vp-test-libvirtd');
  const pidFile = join(dir, 'libvirtd.pid');
  const script = `set -e
echo $$ > ${dir}/loop.pid
for place in /run/libvirt /var/lib/libvirt /etc/libvirt/qemu /var/log/libvirt; do
  mkdir -p $place; mount -t tmpfs -o mode=755 tmpfs $place
done
mkdir -p /var/lib/libvirt/qemu/save /var/log/libvirt/qemu
mount -t tmpfs -o size=${saveMib}m tmpfs /var/lib/libvirt/qemu/save
cat > ${dir}/libvirtd.conf <<EOF
unix_sock_dir = "${dir}"
auth_unix_rw = "none"
EOF
virtlogd --daemon --pid-file ${dir}/virtlogd.pid
while :; do libvirtd --config ${dir}/libvirtd.conf --pid-file ${pidFile} || true; sleep 0.3; done
`;
  const child = spawn('tini', ['-s', '-g', '--', 'unshare', '-m', 'bash', '-c', script], {
    stdio: 'ignore',
    detached: true,
  });
  cleanUpLater({ dir }, () => stop(dir, child));
  const uri = `qemu+unix:///system?socket=${dir}/libvirt-sock`;
  await untilUp(uri);
  return {
    uri,
    restart: async () => {
      process.kill(Number(await readFile(pidFile, 'utf8')), 'SIGKILL');
      await untilUp(uri);
    },
  };
}

async function untilUp(uri: string): Promise<void> {
  const answers = async () => (await run('virsh', ['-q', '-c', uri, 'version'])).exitCode === 0;
  await waitFor(`libvirtd at ${uri}`, answers, { everyMs: 200 });
}

/** The loop first, or it would start the next one. */
async function stop(dir: string, child: ChildProcess): Promise<void> {
  const ended = new Promise((done) => child.once('exit', done));
  for (const name of ['loop', 'libvirtd', 'virtlogd']) {
    process.kill(Number(await readFile(join(dir, `${name}.pid`), 'utf8')), 'SIGKILL');
  }
  await ended;
}
