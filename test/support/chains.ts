// A disk with four layers, each with its own bytes that no guest writes to.
import { join } from 'node:path';
import { makeRootDisk, type TestDisk } from './disks.ts';
import { must } from './exec.ts';
import { makeFolder } from './folders.ts';

const SIZE_MIB = 192;

/** The bytes that only one layer has, after the guest's file system. */
const PATTERNS = [
  { name: 'base', at: 128 },
  { name: 'middle', at: 140 },
  { name: 'disk', at: 152 },
  { name: 'top', at: 164 },
] as const;

/** Makes `top.qcow2` on `disk.qcow2` on `middle.qcow2` on `disk.raw`, with `mib` of data in each. */
export async function makeChain(
  mib = 8,
): Promise<{ dir: string; disk: TestDisk; paths: string[] }> {
  const dir = await makeFolder('vp-test-chain');
  const root = await makeRootDisk(dir, 'raw');
  const paths = [root.path];
  await must('qemu-img', ['resize', '-q', '-f', 'raw', root.path, `${SIZE_MIB}M`]);
  for (const [index, { name, at }] of PATTERNS.entries()) {
    const below = paths[0] ?? '';
    const format = index === 0 ? 'raw' : 'qcow2';
    if (index > 0) {
      const path = join(dir, `${name}.qcow2`);
      const backing = ['-b', below, '-F', index === 1 ? 'raw' : 'qcow2'];
      await must('qemu-img', ['create', '-q', '-f', 'qcow2', ...backing, path]);
      paths.unshift(path);
    }
    const write = `write -P ${index + 1} ${at}M ${mib}M`;
    await must('qemu-io', ['-f', format, '-c', write, paths[0] ?? '']);
  }
  const [path = '', ...below] = paths;
  const backing = below.map((file, index) => {
    return { path: file, format: index === below.length - 1 ? 'raw' : 'qcow2' } as const;
  });
  return { dir, disk: { ...root, path, format: 'qcow2', backing }, paths };
}
