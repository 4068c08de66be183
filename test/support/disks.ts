// Builds the disks of test domains, one function for each shape.
import { join } from 'node:path';
import { cleanUp, cleanUpLater } from './cleanup.ts';
import { must } from './exec.ts';
import { lab } from './lab.ts';

export const DISK_SHAPES = [
  'qcow2-on-qcow2',
  'qcow2-on-raw',
  'chain3',
  'relative-backing',
  'raw',
  'qcow2',
  'block',
] as const;
export type DiskShape = (typeof DISK_SHAPES)[number];

export interface TestDisk {
  target: string;
  type: 'file' | 'block';
  /** The file, or the loop device. */
  path: string;
  format: 'qcow2' | 'raw';
  /** The files below it, nearest first. */
  backing: readonly { path: string; format: 'qcow2' | 'raw' }[];
  /** Replaces the plain file or device: `<driver>`, `<source>` and more of a disk of this type. */
  foreignSource?: { type: 'file' | 'network' | 'volume'; xml: string };
  /** Detaches the loop device, if any; the domain's `destroy` does it too. */
  release(): Promise<void>;
}

/**
 * Makes a bootable disk `vda` with the tiny guest in `dir`. `sizeMib` makes the disk larger than
 * the guest's file system.
 */
export async function makeRootDisk(
  dir: string,
  shape: DiskShape,
  sizeMib?: number,
): Promise<TestDisk> {
  const disk = await ROOT_DISKS[shape](dir);
  if (sizeMib !== undefined) {
    await must('qemu-img', ['resize', '-q', '-f', disk.format, disk.path, `${sizeMib}M`]);
  }
  return shape === 'block' ? attachLoop(disk) : disk;
}

/** Makes a data disk `vdb` in `dir` whose first MiB is all 0xa5 bytes. */
export async function makeDataDisk(
  dir: string,
  format: 'qcow2' | 'raw',
  sizeMib = 16,
): Promise<TestDisk> {
  const path = join(dir, `data.${format}`);
  await must('qemu-img', ['create', '-q', '-f', format, path, `${sizeMib}M`]);
  await must('qemu-io', ['-f', format, '-c', 'write -P 0xa5 0 1M', path]);
  return fileDisk(path, format, [], 'vdb');
}

/**
 * Makes a data disk with an empty ext4 in `dir`: raw, or a qcow2 on a compressed one, which only
 * `qemu-img` can flatten.
 */
export async function makeFileSystemDisk(
  dir: string,
  target: string,
  format: 'qcow2' | 'raw',
): Promise<TestDisk> {
  const raw = join(dir, `${target}.raw`);
  await must('mke2fs', ['-q', '-t', 'ext4', raw, '16M']);
  if (format === 'raw') return fileDisk(raw, 'raw', [], target);
  const base = join(dir, `${target}.base.qcow2`);
  await must('qemu-img', ['convert', '-c', '-f', 'raw', '-O', 'qcow2', raw, base]);
  const path = await overlay(join(dir, `${target}.qcow2`), base, 'qcow2');
  return fileDisk(path, 'qcow2', [{ path: base, format: 'qcow2' }], target);
}

const ROOT_DISKS: Record<DiskShape, (dir: string) => Promise<TestDisk>> = {
  raw: async (dir) => fileDisk(await copyRoot(dir, 'disk.raw', 'raw'), 'raw'),
  block: async (dir) => fileDisk(await copyRoot(dir, 'disk.raw', 'raw'), 'raw'),
  qcow2: async (dir) => fileDisk(await copyRoot(dir, 'disk.qcow2', 'qcow2'), 'qcow2'),
  'qcow2-on-raw': async (dir) => {
    const base = await copyRoot(dir, 'base.raw', 'raw');
    const path = await overlay(join(dir, 'disk.qcow2'), base, 'raw');
    return fileDisk(path, 'qcow2', [{ path: base, format: 'raw' }]);
  },
  'qcow2-on-qcow2': async (dir) => {
    const base = await copyRoot(dir, 'base.qcow2', 'qcow2');
    const path = await overlay(join(dir, 'disk.qcow2'), base, 'qcow2');
    return fileDisk(path, 'qcow2', [{ path: base, format: 'qcow2' }]);
  },
  chain3: async (dir) => {
    const base = await copyRoot(dir, 'base.raw', 'raw');
    const middle = await overlay(join(dir, 'middle.qcow2'), base, 'raw');
    const path = await overlay(join(dir, 'disk.qcow2'), middle, 'qcow2');
    return fileDisk(path, 'qcow2', [
      { path: middle, format: 'qcow2' },
      { path: base, format: 'raw' },
    ]);
  },
  'relative-backing': async (dir) => {
    await must('mkdir', ['-m', '711', join(dir, 'base')]);
    const base = await copyRoot(dir, 'base/base.qcow2', 'qcow2');
    // A relative path is resolved from the folder of the overlay, not from the working directory.
    const path = await overlay(join(dir, 'disk.qcow2'), 'base/base.qcow2', 'qcow2');
    return fileDisk(path, 'qcow2', [{ path: base, format: 'qcow2' }]);
  },
};

async function copyRoot(dir: string, name: string, format: 'qcow2' | 'raw'): Promise<string> {
  const path = join(dir, name);
  await must('qemu-img', ['convert', '-f', 'raw', '-O', format, lab().rootImage, path]);
  return path;
}

async function overlay(path: string, backing: string, backingFormat: string): Promise<string> {
  const args = ['create', '-q', '-f', 'qcow2', '-b', backing, '-F', backingFormat, path];
  await must('qemu-img', args);
  return path;
}

function fileDisk(
  path: string,
  format: 'qcow2' | 'raw',
  backing: TestDisk['backing'] = [],
  target = 'vda',
): TestDisk {
  return { target, type: 'file', path, format, backing, release: () => Promise.resolve() };
}

async function attachLoop(file: TestDisk): Promise<TestDisk> {
  const device = (await must('losetup', ['--find', '--show', file.path])).trim();
  const owner = {};
  cleanUpLater(owner, async () => {
    await must('losetup', ['--detach', device]);
  });
  return { ...file, type: 'block', path: device, release: () => cleanUp(owner) };
}
