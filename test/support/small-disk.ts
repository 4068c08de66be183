// A small file system of a test on a loop device, and a process that fills it.
import { open, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cleanUp, cleanUpLater } from './cleanup.ts';
import { must, run } from './exec.ts';
import { makeFolder } from './folders.ts';

const MIB = 1024 * 1024;

export interface SmallDisk {
  path: string;
  free(): Promise<number>;
  /** As after an I/O error: read-only for all, also for files that are open. */
  makeReadOnly(): Promise<void>;
  remove(): Promise<void>;
}

const MAKE = {
  ext4: ['mke2fs', '-q', '-t', 'ext4', '-m', '0'],
  /** Files can share blocks on it. Its least size is 300 MiB. */
  xfs: ['mkfs.xfs', '-q', '-m', 'reflink=1'],
} as const;

/** Makes a file system of this size that QEMU's user can reach; it is removed with its test file. */
export async function makeSmallDisk(
  sizeMib: number,
  type: keyof typeof MAKE = 'ext4',
): Promise<SmallDisk> {
  const folder = await makeFolder('vp-test-disk');
  const image = join(folder, 'disk.raw');
  const path = join(folder, 'mnt');
  await must('truncate', ['-s', `${sizeMib}M`, image]);
  const [make, ...args] = MAKE[type];
  await must(make, [...args, image]);
  await must('mkdir', ['-m', '711', path]);
  await must('mount', ['-o', 'loop', image, path]);
  await must('chmod', ['711', path]);
  const owner = {};
  cleanUpLater(owner, async () => {
    await run('umount', ['-l', path]);
  });
  return {
    path,
    free: () => freeOn(path),
    makeReadOnly: async () => {
      // NOTE: a plain remount fails while a file is open for writing; a disk error does not.
      await must('mount', ['-o', 'remount,abort', path]);
    },
    remove: () => cleanUp(owner),
  };
}

/**
 * Fills the disk to its last block, then frees `freeKib`. A second pass fills what the
 * file system reserves for metadata and frees with a sync.
 */
export async function fill({ path }: SmallDisk, freeKib = 0): Promise<void> {
  const append = `of=${path}/full oflag=append conv=notrunc status=none`;
  const passes = ['64k', '1k'].map((bs) => `dd if=/dev/zero bs=${bs} ${append} 2>/dev/null`);
  await must('sh', ['-c', `for n in 1 2; do ${passes.join('; ')}; sync -f ${path}; done`]);
  if (freeKib > 0) await must('truncate', ['-s', `-${freeKib}K`, join(path, 'full')]);
}

/** Writes a MiB every few milliseconds until `isOver`; resolves to the minimum of the free space. */
export async function fillUp(disk: SmallDisk, isOver: () => boolean): Promise<number> {
  const file = await open(join(disk.path, 'filler'), 'w');
  let least = await disk.free();
  try {
    while (!isOver() && least > 2 * MIB) {
      await file.write(Buffer.alloc(MIB, 1));
      await file.datasync();
      least = Math.min(least, await disk.free());
      await sleep(30);
    }
  } finally {
    await file.close();
  }
  return least;
}

async function freeOn(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}
