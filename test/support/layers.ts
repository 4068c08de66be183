// Small disks whose XML names their layers, for a domain without a guest system.
import type { TestDisk } from './disks.ts';
import { createDomainOn, type TestDomain } from './domains.ts';
import { must } from './exec.ts';

export interface LayerFile {
  path: string;
  format: 'qcow2' | 'raw';
}

const SIZE = '4M';

/** Makes a raw file of random bytes. */
export async function makeNoise(path: string): Promise<LayerFile> {
  await must('dd', ['if=/dev/urandom', `of=${path}`, 'bs=1M', 'count=4', 'status=none']);
  return { path, format: 'raw' };
}

/** Makes a qcow2 whose header names `below`, with its own pattern at `at` (`1M`, for example). */
export async function makeOverlay(path: string, below: LayerFile, at: string): Promise<LayerFile> {
  const backing = ['-b', below.path, '-F', below.format];
  await must('qemu-img', ['create', '-q', '-f', 'qcow2', ...backing, path, SIZE]);
  await must('qemu-io', ['-f', 'qcow2', '-c', `write -P 0x6b ${at} 64k`, path]);
  return { path, format: 'qcow2' };
}

/** Returns `<backingStore>` of these layers, nearest first, with the mark of the chain's end. */
export function backingXml([next, ...rest]: readonly LayerFile[], end = '<backingStore/>'): string {
  if (!next) return end;
  const { path, format } = next;
  return `<backingStore type='file'><format type='${format}'/><source file='${path}'/>${backingXml(rest, end)}</backingStore>`;
}

/** Returns a disk whose XML has more than a source, its layers for example. */
export function diskOf(target: string, { path, format }: LayerFile, more: string): TestDisk {
  const xml = `<driver name='qemu' type='${format}'/><source file='${path}'/>${more}`;
  return {
    ...{ target, type: 'file', path, format, backing: [] },
    foreignSource: { type: 'file', xml },
    release: () => Promise.resolve(),
  };
}

/** Writes the content of a disk of exactly these layers to a raw file, ignoring headers. */
export async function truthOf(path: string, layers: readonly LayerFile[]): Promise<LayerFile> {
  const node = ([top, ...below]: readonly LayerFile[]): object | null => {
    if (!top) return null;
    const file = { driver: 'file', filename: top.path };
    const own = { driver: top.format, file };
    return top.format === 'raw' ? own : { ...own, backing: node(below) };
  };
  const name = `json:${JSON.stringify(node(layers))}`;
  await must('qemu-img', ['convert', '-U', '-O', 'raw', name, path]);
  return { path, format: 'raw' };
}

/** Makes a domain with these disks; `running`: QEMU has them open, and the guest is paused. */
export async function createStill(
  dir: string,
  disks: readonly TestDisk[],
  state: 'running' | 'off',
): Promise<TestDomain> {
  await must('chmod', ['711', dir]);
  for (const { path } of disks) await must('chmod', ['a+rw', path]);
  const domain = await createDomainOn(dir, disks, { state: 'off', agent: false, memoryMib: 64 });
  if (state === 'running') await domain.virsh('start', '--paused');
  return domain;
}

/** Makes a qcow2 file whose header names itself as its backing file. */
export async function makeCircle(path: string): Promise<LayerFile> {
  await must('qemu-img', ['create', '-q', '-f', 'qcow2', path, SIZE]);
  await must('qemu-img', ['rebase', '-u', '-f', 'qcow2', '-b', path, '-F', 'qcow2', path]);
  return { path, format: 'qcow2' };
}

/** Makes a qcow2 whose header names a part of `below` as its backing file. */
export async function makeSliced(path: string, below: LayerFile): Promise<LayerFile> {
  const file = { driver: 'file', filename: below.path };
  const backing = JSON.stringify({ driver: 'raw', offset: 4096, size: 1024 ** 2, file });
  const args = ['-u', '-b', `json:${backing}`, '-F', 'raw', path, '1M'];
  await must('qemu-img', ['create', '-q', '-f', 'qcow2', ...args]);
  return { path, format: 'qcow2' };
}
