// A qemu-img that converts slowly, so that a test can act during the convert.
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { must } from '../support/exec.ts';
import { makeFolder } from '../support/folders.ts';

/**
 * Returns an environment in which qemu-img writes a snapshot's image (compressed with zlib, which
 * this program leaves to it), no more than so many KiB a second.
 */
export async function slowQemuImg(kibPerSecond: number): Promise<Record<string, string>> {
  const folder = await makeFolder('vp-test-bin');
  const real = (await must('sh', ['-c', 'command -v qemu-img'])).trim();
  const script = `#!/bin/sh
[ "$1" = convert ] || exec ${real} "$@"
shift
exec ${real} convert -r ${kibPerSecond}k "$@"
`;
  await writeFile(join(folder, 'qemu-img'), script);
  await chmod(join(folder, 'qemu-img'), 0o755);
  return { PATH: `${folder}:${process.env.PATH}`, VIRT_PUBLISH_SNAPSHOT_COMPRESS: 'zlib' };
}

/** Finds the qemu-img that converts a file below this folder; undefined if there is none. */
export async function findConvert(folder: string): Promise<number | undefined> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const args = line.split('\0');
    const isConvert = args[0]?.endsWith('qemu-img') === true && args.includes('convert');
    if (isConvert && line.includes(folder)) return Number(pid);
  }
  return undefined;
}
