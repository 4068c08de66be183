// Makes a file system with reflinks (XFS on a loop device) for the benchmark.
import { closeSync, mkdirSync, openSync, rmSync, truncateSync } from 'node:fs';
import { command } from './run.js';

const SIZE = 64 * 2 ** 30;

/** Calls `work` with the mount point, and removes the file system afterwards. Its file is sparse. */
export async function withReflinks(folder, work) {
  const file = `${folder}/xfs.img`;
  const place = `${folder}/xfs`;
  closeSync(openSync(file, 'w'));
  truncateSync(file, SIZE);
  await command('mkfs.xfs', '-q', '-m', 'reflink=1', file);
  mkdirSync(place, { recursive: true });
  await command('mount', '-o', 'loop', file, place);
  await command('chmod', '711', place);
  try {
    return await work(place);
  } finally {
    await command('umount', '--lazy', place);
    rmSync(place, { recursive: true, force: true });
    rmSync(file);
  }
}
