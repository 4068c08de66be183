// Files for backing chains, made in a folder of their own: raw ones with random bytes, overlays through qemu-io.
import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { must } from './exec.ts';

export interface ChainFile {
  path: string;
  format: string;
}

/** Makes the files in a new folder in `place`, which the caller removes. */
export function makeChainFiles(place = tmpdir()) {
  const folder = mkdtempSync(join(place, 'chains-'));
  const at = (name: string) => join(folder, name);

  /** Writes random bytes at some offsets of a raw file of `size` bytes. */
  async function makeRaw(name: string, size: number, runs: [number, number][]): Promise<ChainFile> {
    const file = await open(at(name), 'w');
    for (const [offset, length] of runs) await file.write(randomBytes(length), 0, length, offset);
    await file.truncate(size);
    await file.close();
    return { path: at(name), format: 'raw' };
  }

  async function makeOverlay(
    name: string,
    { size, below, options = [] }: { size: number; below?: ChainFile; options?: string[] },
    ...commands: string[]
  ): Promise<ChainFile> {
    const backing = below ? ['-b', below.path, '-F', below.format] : [];
    const create = ['create', '-q', '-f', 'qcow2', ...options, ...backing, at(name), String(size)];
    await must('qemu-img', create);
    const all = commands.flatMap((command) => ['-c', command]);
    if (all.length > 0) await must('qemu-io', ['-f', 'qcow2', ...all, at(name)]);
    return { path: at(name), format: 'qcow2' };
  }

  return { folder, at, makeRaw, makeOverlay };
}
